//! Bonds in a small simulated world: two nodes with three links each, and a root.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod failures;
mod lab;
mod peers;
mod policies;
mod probes;
mod reports;
