//! Are our bytes their bytes: golden data that the reference program made, one module per file.
//!
//! The data is read from `$HAWSER_VECTORS`, by default `../shared/vectors` beside the repository. Where it is absent
//! the tests on it say so and pass; the known answers in `known_answers.rs` are always there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod credentials;
mod flowid;
mod fragments;
mod identities;
mod inet;
mod join;
mod known_answers;
mod load;
mod netconf;
mod packets;
mod pcap;
mod rules;
mod rules_codec;
mod sessions;
mod verbs;
mod world;
