//! Threads and system calls that move frames between TAP devices and UDP sockets.
//!
//! # Threads
//!
//! A [`Dataplane`] runs N workers, each a plain thread with one epoll. A worker owns one queue of every TAP device and one
//! socket of every link, runs a frame from one to the other to completion, and shares nothing but a read-only
//! [`node::snapshot::Snapshot`]. Whatever the snapshot has no answer for is handed over to the control thread through a
//! bounded ring; if the ring is full, the handover is dropped and counted, and nobody waits.
//!
//! | state | owner |
//! |---|---|
//! | sockets, TAP queues, buffers, reassembly, flow caches, generator | one worker |
//! | snapshot | whoever loads it, once per turn; replaced as a whole by [`Dataplane::publish`] |
//! | counters | written by one worker with plain relaxed stores, read by anyone |
//! | creation and removal of links and devices | the control thread, by command to the workers |
//!
//! The path of a frame is told in `outbound.rs` and `inbound.rs`, step by step. Both are generic over the traits of
//! `tap` and `udp`, so that tests drive them without privileges.

mod affinity;
mod batch;
mod clock;
mod counters;
mod dataplane;
mod drop_reason;
mod flow_cache;
mod handover;
mod inbound;
mod lane_notes;
mod mailbox;
mod measurements;
mod outbound;
mod packet_ids;
mod peer_tallies;
mod reactor;
mod reassembly;
mod tap;
mod throttle;
mod udp;
mod worker;

#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use counters::{NetworkCounters, WorkerCounters};
pub use dataplane::{Dataplane, DataplaneConfig, DataplaneError, LinkError, TapError};
pub use drop_reason::DropReason;
pub use handover::Handover;
pub use tap::{TapInfo, TapSettings};
