//! The rules engine: does a frame pass (protocol specification 14.3 and 14.4)? Pure functions over compiled data, used by
//! workers and by the node alike.

use protocol::rule::Rule;
use protocol::{Address, IpPrefix, MacAddress, NetworkId};

use crate::frame::EthernetFrame;
use protocol::credential::OwnedThing;
use protocol::network_config::NetworkConfig;

/// One network's rules and our own credentials, ready to evaluate.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named by their type")]
pub struct NetworkPolicy {
    pub me: Address,
    pub network: NetworkId,
    pub rules: Box<[Rule]>,
    /// Own capabilities' rules by ascending capability id.
    pub capabilities: Box<[(u32, Box<[Rule]>)]>,
    /// Own tags, by ascending id.
    pub tags: Box<[(u32, u32)]>,
    /// What our certificates of ownership list.
    pub owned: Box<[OwnedThing]>,
    /// Our own managed addresses (for IPv6 schemes whose addresses count as authenticated).
    pub assigned: Box<[IpPrefix]>,
    /// Raw configuration flags.
    pub flags: u64,
}

/// What a remote member has proved: valid credentials only (13.7).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteCredentials {
    /// By ascending id.
    pub tags: Box<[(u32, u32)]>,
    /// Rules of its capabilities.
    pub capabilities: Box<[(u32, Box<[Rule]>)]>,
    /// What it owns.
    pub owned: Box<[OwnedThing]>,
}

/// What to do with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing.
    Drop,
    /// Let it pass.
    Accept,
    /// Inbound only: let it pass without checks of MAC addresses.
    SuperAccept,
    /// Send it to this node instead.
    Redirect(Address),
}

/// A copy to send to an observer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyTo {
    /// The observer.
    pub target: Address,
    /// Bytes of the payload to send, already limited to the frame's length.
    pub length: usize,
    /// WATCH: ask for an acknowledgement.
    pub watch: bool,
}

/// The outcome of evaluation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The frame's fate.
    pub action: Action,
    /// From the base rules.
    pub base_copy: Option<CopyTo>,
    /// From a capability.
    pub capability_copy: Option<CopyTo>,
    /// No rule on the way read anything that varies within a flow, and no copy is due: the verdict may be remembered.
    pub cacheable: bool,
}

impl NetworkPolicy {
    /// Compiles a configuration.
    pub fn new(_me: Address, _config: &NetworkConfig) -> Self {
        todo!()
    }

    /// May we send `frame` to `destination` (none in the first pass of a multicast or bridged frame)? `remote` is what we
    /// know of the destination. `random` feeds MATCH_RANDOM.
    pub fn filter_outbound(
        &self,
        _destination: Option<Address>,
        _remote: Option<&RemoteCredentials>,
        _frame: &EthernetFrame<'_>,
        _random: u32,
    ) -> Verdict {
        todo!()
    }

    /// May `frame` from `source` come in?
    pub fn filter_inbound(
        &self,
        _source: Address,
        _remote: Option<&RemoteCredentials>,
        _frame: &EthernetFrame<'_>,
        _random: u32,
    ) -> Verdict {
        todo!()
    }

    /// Our MAC address on this network.
    pub fn mac(&self) -> MacAddress {
        MacAddress::of(self.me, self.network)
    }
}
