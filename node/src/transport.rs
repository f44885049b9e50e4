//! VL1 as VL2 uses it: peers, paths, upstreams, sending. Owned by [`crate::Node`] beside the networks, so that both
//! halves can be borrowed at once.

use protocol::verb::{ErrorCode, Verb};
use protocol::{Address, Identity, Instant, PacketId};

use crate::io::{Output, PathKey};

/// An authenticated, decompressed packet for us.
pub(crate) struct Received<'a> {
    /// Arrival path.
    pub(crate) path: PathKey,
    /// Sender; its identity is known.
    pub(crate) source: Address,
    /// Id as on the wire.
    pub(crate) id: PacketId,
    /// Relays passed.
    pub(crate) hops: u8,
    /// Kind.
    pub(crate) verb: Verb,
    /// What follows the verb byte.
    pub(crate) payload: &'a [u8],
}

/// What a VL2 handler made of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handled {
    /// Processed: path learning goes on as for any authentic packet (8.3).
    Done,
    /// As `Done`, and the sender passed a membership gate: refreshes trust (8.1).
    Trusted,
    /// The sender's credentials are missing: keep the packet and retry (4.1, 10.4). No path learning yet.
    Hold,
    /// Dropped by a rate gate: no path learning (7.0).
    RateLimited,
}

pub(crate) struct Transport {}

impl Transport {
    /// Our identity.
    pub(crate) fn identity(&self) -> &protocol::SecretIdentity {
        todo!()
    }
    /// Milliseconds since the Unix epoch.
    pub(crate) fn wall(&self, _now: Instant) -> u64 {
        todo!()
    }
    /// Random bits from the node's seeded generator.
    pub(crate) fn random_u64(&mut self) -> u64 {
        todo!()
    }
    /// Sends a packet by the normal transmit path (4.2): best path, else relay, else queue and WHOIS. Registers the wire
    /// id for replies. Returns it if the packet was sent at once.
    pub(crate) fn send(
        &mut self,
        _now: Instant,
        _to: Address,
        _verb: Verb,
        _payload: &[u8],
        _compress: bool,
    ) -> Option<PacketId> {
        todo!()
    }
    /// Answers with OK on the arrival path, one datagram. `body` follows the in-re header.
    pub(crate) fn reply_ok(&mut self, _now: Instant, _to: &Received<'_>, _body: &[u8]) {
        todo!()
    }
    /// As `reply_ok` with another in-re verb byte (the acknowledgement of NETWORK_CONFIG says ECHO).
    pub(crate) fn reply_ok_as(
        &mut self,
        _now: Instant,
        _to: &Received<'_>,
        _in_re_verb: u8,
        _body: &[u8],
    ) {
        todo!()
    }
    /// Answers with ERROR on the arrival path. `rest` follows the code.
    pub(crate) fn reply_error(
        &mut self,
        _now: Instant,
        _to: &Received<'_>,
        _code: ErrorCode,
        _rest: &[u8],
    ) {
        todo!()
    }
    /// The identity of a node, if known.
    pub(crate) fn identity_of(&self, _address: Address) -> Option<&Identity> {
        todo!()
    }
    /// Asks the best upstream for an identity (rate limited per address).
    pub(crate) fn whois(&mut self, _now: Instant, _address: Address) {
        todo!()
    }
    /// The best upstream (9.5), if any.
    pub(crate) fn best_upstream(&self, _now: Instant) -> Option<Address> {
        todo!()
    }
    /// All upstreams.
    pub(crate) fn upstreams(&self) -> Vec<Address> {
        todo!()
    }
    /// This node is itself named in the planet or a moon.
    pub(crate) fn is_upstream(&self) -> bool {
        todo!()
    }
    /// Latency of the best unexpired direct path, ms; none if there is no such path.
    pub(crate) fn direct_latency(&self, _now: Instant, _address: Address) -> Option<u32> {
        todo!()
    }
    /// Queues an output.
    pub(crate) fn output(&mut self, _output: Output) {
        todo!()
    }
    /// Something that the snapshot shows has changed.
    pub(crate) fn mark_snapshot_dirty(&mut self) {
        todo!()
    }
    /// The networks' say in 5.3 rule 3 and 4, and in the always-contact set of 8.6: replaced as a whole when they change.
    pub(crate) fn set_network_facts(&mut self, _facts: NetworkFacts) {
        todo!()
    }
    /// An embedded controller answers configuration requests.
    pub(crate) fn has_controller(&self) -> bool {
        todo!()
    }
    /// Low-bandwidth mode is on.
    pub(crate) fn low_bandwidth(&self) -> bool {
        todo!()
    }
}

/// What VL1 must know of the joined networks.
#[derive(Default)]
pub(crate) struct NetworkFacts {
    /// Assigned addresses and addresses on our devices: physical paths inside are refused.
    pub(crate) excluded: Vec<protocol::IpPrefix>,
    /// Anchors and multicast replicators: always contacted.
    pub(crate) always_contact: Vec<Address>,
}
