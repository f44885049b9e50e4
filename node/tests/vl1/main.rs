//! VL1 in a small simulated world: a root and two leaves that it introduces to each other.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod keeping;
mod lab;
mod meeting;
mod packets;
mod workers;
mod worlds;
