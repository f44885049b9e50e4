//! VL2: joined networks, their configuration, membership, multicast and frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::verb::{ErrorBody, InReply};
use protocol::{Address, Instant, NetworkId};

use crate::frame::EthernetFrame;
use crate::io::Command;
use crate::snapshot::NetworkEntry;
use crate::status::NetworkStatus;
use crate::transport::{Handled, Received, Transport};

/// All joined networks.
pub(crate) struct Networks {}

impl Networks {
    pub(crate) fn new() -> Self {
        todo!()
    }
    /// FRAME, EXT_FRAME, MULTICAST_LIKE, NETWORK_CREDENTIALS, NETWORK_CONFIG_REQUEST, NETWORK_CONFIG, MULTICAST_GATHER,
    /// MULTICAST_FRAME.
    pub(crate) fn handle_packet(
        &mut self,
        _transport: &mut Transport,
        _now: Instant,
        _packet: &Received<'_>,
    ) -> Handled {
        todo!()
    }
    /// An expected OK for one of the verbs above; `body` follows the in-re header.
    pub(crate) fn handle_ok(
        &mut self,
        _transport: &mut Transport,
        _now: Instant,
        _packet: &Received<'_>,
        _in_reply: InReply,
        _body: &[u8],
    ) {
        todo!()
    }
    /// An ERROR that concerns a network.
    pub(crate) fn handle_error(
        &mut self,
        _transport: &mut Transport,
        _now: Instant,
        _packet: &Received<'_>,
        _in_reply: InReply,
        _error: &ErrorBody,
    ) {
        todo!()
    }
    /// A frame from the TAP device.
    pub(crate) fn handle_frame(
        &mut self,
        _transport: &mut Transport,
        _now: Instant,
        _network: NetworkId,
        _frame: &EthernetFrame<'_>,
    ) {
        todo!()
    }
    /// The commands that concern networks: Join, Leave, PortFailed, PortState, SendNetworkConfig, SendNetworkError,
    /// SendRevocation, MemberAuthorised.
    pub(crate) fn handle_command(
        &mut self,
        _transport: &mut Transport,
        _now: Instant,
        _command: Command,
    ) {
        todo!()
    }
    /// Timers; called at every node tick. Does whatever is due and returns when it next wants to be called.
    pub(crate) fn tick(&mut self, _transport: &mut Transport, _now: Instant) -> Instant {
        todo!()
    }
    /// Called once per ping check (5 s; 25 s in low-bandwidth mode), after the peers were pinged: configuration requests,
    /// multicast announcements (12.3, 11.2).
    pub(crate) fn ping_check(&mut self, _transport: &mut Transport, _now: Instant) {
        todo!()
    }
    /// The identity of `address` has become known (packets waiting for a signer may be retried).
    pub(crate) fn identity_learned(
        &mut self,
        _transport: &mut Transport,
        _now: Instant,
        _address: Address,
    ) {
        todo!()
    }
    /// The networks' part of a snapshot. Unchanged networks return the same `Arc` as last time.
    pub(crate) fn snapshot(
        &mut self,
        _transport: &Transport,
        _now: Instant,
    ) -> BTreeMap<NetworkId, Arc<NetworkEntry>> {
        todo!()
    }
    /// For the API.
    pub(crate) fn status(&self, _now: Instant) -> Vec<NetworkStatus> {
        todo!()
    }
}
