//! One peer's bond.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Address, Instant};

use crate::command::Command;
use crate::config::PolicySettings;
use crate::event::BondEvent;
use crate::path::{PathId, PathInfo};
use crate::plan::Plan;
use crate::qos::QosSamples;
use crate::status::BondStatus;

/// Most paths of a bond, as in 1.14.1.
pub const MAX_PATHS: usize = 64;

/// What a bond wants or has decided.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Send an ECHO on this path, then call [`Bond::handle_probe_sent`].
    Probe(PathId),
    /// Use this plan from now on. [`Plan::Unreachable`]: no path of the bond works; choose as without a bond.
    PlanChanged(Plan<PathId>),
    /// Tell the operator.
    Event(BondEvent),
    /// Nothing more to do before then.
    Timeout(Instant),
}

/// What the operating system says about a path's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// Carrier and address are there.
    Up,
    /// Carrier or address is gone.
    Down,
    /// Sending failed with this error number.
    SendFailed(i32),
}

/// What a peer of our kind says that it received on a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryReport {
    /// Bytes received since the last report.
    pub bytes: u64,
    /// Packets received since the last report.
    pub packets: u32,
    /// Packets missing from the path's sequence since the last report.
    pub lost: u32,
    /// Time since the last report, by the receiver's clock.
    pub interval: Duration,
    /// When the latest of them was sent, by our clock.
    pub latest_sent: Instant,
}

/// What is known of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerTraits {
    /// It answers at most six ECHOs per second and path.
    pub is_stock: bool,
    /// It puts packets back in order.
    pub can_reorder: bool,
}

/// One peer's bond.
#[derive(Debug)]
pub struct Bond {}

#[allow(clippy::todo, reason = "signatures first")]
#[allow(unused_variables, reason = "signatures first")]
impl Bond {
    /// A bond with no path. `seed` varies the timing of probes.
    pub fn new(
        settings: Arc<PolicySettings>,
        peer: Address,
        traits: PeerTraits,
        now: Instant,
        seed: u64,
    ) -> Self {
        Self {}
    }
    /// What is known of the peer changed.
    pub fn set_peer_traits(&mut self, traits: PeerTraits, now: Instant) {
        todo!()
    }
    /// The peer learned a path. False if it is refused (rules, IP version, too many); it is shown in the status all the same.
    pub fn add_path(&mut self, path: PathInfo, now: Instant) -> bool {
        todo!()
    }
    /// The path is gone.
    pub fn remove_path(&mut self, path: PathId, now: Instant) {
        todo!()
    }
    /// Authentic packets arrived on the path, the last of them at `now` (which may lie a little in the past, as stamps do).
    pub fn handle_received(&mut self, path: PathId, packets: u64, bytes: u64, now: Instant) {
        todo!()
    }
    /// Packets left on the path.
    pub fn handle_sent(&mut self, path: PathId, packets: u64, bytes: u64, now: Instant) {
        todo!()
    }
    /// Packets that name a known peer arrived on the path and failed authentication.
    pub fn handle_forged(&mut self, path: PathId, packets: u64, now: Instant) {
        todo!()
    }
    /// The probe that [`Output::Probe`] asked for left; `token` (the packet's ID) tells its answer.
    pub fn handle_probe_sent(&mut self, path: PathId, token: u64, now: Instant) {
        todo!()
    }
    /// The OK of that probe arrived (on any path of the peer; `path` is where the probe was sent).
    pub fn handle_probe_reply(&mut self, path: PathId, token: u64, now: Instant) {
        todo!()
    }
    /// A QOS_MEASUREMENT of the peer arrived.
    pub fn handle_qos_report(&mut self, path: PathId, samples: &QosSamples, now: Instant) {
        todo!()
    }
    /// A peer of our kind reports what it received.
    pub fn handle_delivery_report(&mut self, path: PathId, report: &DeliveryReport, now: Instant) {
        todo!()
    }
    /// The operating system reports on the path's link.
    pub fn handle_link_event(&mut self, path: PathId, event: LinkEvent, now: Instant) {
        todo!()
    }
    /// Bytes sent per slot since the last call; slots that are not named sent none.
    pub fn handle_slot_bytes(
        &mut self,
        slots: impl IntoIterator<Item = (usize, u64)>,
        now: Instant,
    ) {
        todo!()
    }
    /// Carries out an order. The text says what changed, or why nothing did.
    pub fn command(&mut self, command: Command, now: Instant) -> Result<String, String> {
        todo!()
    }
    /// The next thing to do. Call until [`Output::Timeout`], after each `handle_*` and when the timeout is over; tell the
    /// bond what was received and sent before a poll at its timeout, else it takes silence for failure.
    pub fn poll(&mut self, now: Instant) -> Output {
        todo!()
    }
    /// The plan in force.
    pub fn plan(&self) -> &Plan<PathId> {
        todo!()
    }
    /// The settings in force.
    pub fn settings(&self) -> &Arc<PolicySettings> {
        todo!()
    }
    /// For the operator.
    pub fn status(&self, now: Instant) -> BondStatus {
        todo!()
    }
}
