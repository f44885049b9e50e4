//! VL2 in a simulated world: a root, a controller and members. The controller's decisions are the test's (see
//! `lab.rs`); everything else is nodes talking to each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;
mod frames;
mod hostile;
mod lab;
mod membership;
mod multicast;
