//! What a rule can see: the frame, who sends it to whom, and what both sides have proved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bond::flow::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, UpperLayer};
use protocol::credential::OwnedThing;
use protocol::network_config::FLAG_NDP_EMULATION;
use protocol::{Address, IpPrefix};

use super::{NetworkPolicy, RemoteCredentials};
use crate::frame::EthernetFrame;

const ETHERTYPE_ARP: u16 = 0x0806;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_ICMPV6: u8 = 58;
const OWNED_MAC: u8 = 1;
const OWNED_IPV4: u8 = 2;
const OWNED_IPV6: u8 = 3;

/// Bits of MATCH_CHARACTERISTICS (protocol specification 14.3).
pub mod characteristic {
    /// The frame comes in.
    pub const INBOUND: u64 = 1 << 63;
    /// The destination MAC address is a multicast address.
    pub const MULTICAST: u64 = 1 << 62;
    /// The destination MAC address is the broadcast address.
    pub const BROADCAST: u64 = 1 << 61;
    /// A certificate of ownership covers the sender's IP address.
    pub const SENDER_IP_AUTHENTICATED: u64 = 1 << 60;
    /// A certificate of ownership covers the sender's MAC address.
    pub const SENDER_MAC_AUTHENTICATED: u64 = 1 << 59;
    /// The bits that come from the TCP header.
    pub const TCP: u64 = 0xfff;
}

/// One frame on its way, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Our rules' network, our tags and certificates.
    pub policy: &'a NetworkPolicy,
    /// What the other side proved, if anything is known of it.
    pub remote: Option<&'a RemoteCredentials>,
    /// The frame comes in (or else goes out).
    pub inbound: bool,
    /// The sending node.
    pub source: Address,
    /// The receiving node, [`Address::NONE`] if not known yet.
    pub destination: Address,
    /// The frame.
    pub frame: EthernetFrame<'a>,
    /// Always 0 for frames from a TAP device or the network: tags stay in the payload (specification 10.3).
    pub vlan_id: u16,
    /// For MATCH_RANDOM.
    pub random: u32,
    upper: Option<UpperLayer>,
}

impl<'a> Context<'a> {
    /// A frame that `policy`'s node sends.
    pub fn outbound(
        policy: &'a NetworkPolicy,
        destination: Option<Address>,
        remote: Option<&'a RemoteCredentials>,
        frame: &EthernetFrame<'a>,
        random: u32,
    ) -> Self {
        Self {
            policy,
            remote,
            inbound: false,
            source: policy.me,
            destination: destination.unwrap_or(Address::NONE),
            frame: *frame,
            vlan_id: 0,
            random,
            upper: UpperLayer::find(frame.ethertype, frame.payload),
        }
    }

    /// A frame that `policy`'s node receives.
    pub fn inbound(
        policy: &'a NetworkPolicy,
        source: Address,
        remote: Option<&'a RemoteCredentials>,
        frame: &EthernetFrame<'a>,
        random: u32,
    ) -> Self {
        Self {
            inbound: true,
            source,
            destination: policy.me,
            ..Self::outbound(policy, None, remote, frame, random)
        }
    }

    /// The header after IP, if this is IP that can be parsed.
    pub(super) fn upper(&self) -> Option<UpperLayer> {
        self.upper
    }

    /// Ethertype IPv4 and a whole header.
    pub(super) fn is_ipv4(&self) -> bool {
        self.frame.ethertype == ETHERTYPE_IPV4 && self.frame.payload.len() >= 20
    }

    /// Ethertype IPv6 and a whole header.
    pub(super) fn is_ipv6(&self) -> bool {
        self.frame.ethertype == ETHERTYPE_IPV6 && self.frame.payload.len() >= 40
    }

    /// A byte of the payload, zero beyond its end.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.frame.payload.get(at).copied().unwrap_or(0)
    }

    /// `N` bytes of the payload, zeros if they run past its end.
    pub(super) fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.frame
            .payload
            .get(at..at + N)
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or([0; N])
    }

    /// Is this TCP over IP?
    pub(super) fn is_tcp(&self) -> bool {
        self.upper
            .is_some_and(|upper| upper.protocol == PROTOCOL_TCP)
    }

    /// A tag of ours.
    pub(super) fn own_tag(&self, id: u32) -> Option<u32> {
        find_tag(&self.policy.tags, id)
    }

    /// A tag of the other side.
    pub(super) fn remote_tag(&self, id: u32) -> Option<u32> {
        find_tag(&self.remote?.tags, id)
    }

    /// Those bits of the frame's characteristics that `mask` asks for.
    pub(super) fn characteristics(&self, mask: u64) -> u64 {
        let mut bits = 0;
        if self.inbound {
            bits |= characteristic::INBOUND;
        }
        if self.frame.destination.is_multicast() {
            bits |= characteristic::MULTICAST;
        }
        if self.frame.destination.is_broadcast() {
            bits |= characteristic::BROADCAST;
        }
        if mask & characteristic::SENDER_IP_AUTHENTICATED != 0 && self.sender_ip_is_authenticated()
        {
            bits |= characteristic::SENDER_IP_AUTHENTICATED;
        }
        if mask & characteristic::SENDER_MAC_AUTHENTICATED != 0
            && self.sender_owns(OWNED_MAC, &self.frame.source.0)
        {
            bits |= characteristic::SENDER_MAC_AUTHENTICATED;
        }
        if mask & characteristic::TCP != 0
            && let Some(upper) = self.upper
            && upper.protocol == PROTOCOL_TCP
        {
            bits |= u64::from(self.byte(upper.offset + 13));
            bits |= u64::from(self.byte(upper.offset + 12) & 0x0f) << 8;
        }
        bits & mask
    }

    fn sender_ip_is_authenticated(&self) -> bool {
        let payload = self.frame.payload;
        match self.frame.ethertype {
            ETHERTYPE_ARP if payload.len() >= 28 => {
                self.sender_owns(OWNED_IPV4, &self.bytes::<4>(14))
            }
            ETHERTYPE_IPV4 if self.is_ipv4() => self.sender_owns(OWNED_IPV4, &self.bytes::<4>(12)),
            ETHERTYPE_IPV6 if self.is_ipv6() => {
                let neighbour_message = self.byte(6) == PROTOCOL_ICMPV6 && payload.len() >= 64;
                let ip = match self.byte(40) {
                    // A solicitation cannot spoof anything: the answer goes to the node that asked.
                    135 if neighbour_message => return true,
                    136 if neighbour_message => self.bytes::<16>(48),
                    _ => self.bytes::<16>(8),
                };
                self.sender_owns(OWNED_IPV6, &ip) || self.is_computed_address(ip.into())
            }
            _ => false,
        }
    }

    /// Do the sender's certificates of ownership list this?
    fn sender_owns(&self, kind: u8, value: &[u8]) -> bool {
        let owned: &[OwnedThing] = match (self.inbound, self.remote) {
            (false, _) => &self.policy.owned,
            (true, Some(remote)) => &remote.owned,
            (true, None) => &[],
        };
        owned
            .iter()
            .any(|thing| thing.kind == kind && thing.value.starts_with(value))
    }

    /// Inbound, with NDP emulation: is `ip` within the prefix of an address of ours that is computed from node and
    /// network (specification 10.6)?
    fn is_computed_address(&self, ip: Ipv6Addr) -> bool {
        self.inbound
            && self.policy.flags & FLAG_NDP_EMULATION != 0
            && self
                .policy
                .assigned
                .iter()
                .filter(|own| is_computed_prefix(own, self.policy.network.0))
                .any(|own| within(ip.into(), own.ip, own.bits))
    }
}

/// The forms "6PLANE" and "RFC4193" of specification 10.6.
fn is_computed_prefix(prefix: &IpPrefix, network: u64) -> bool {
    let IpAddr::V6(ip) = prefix.ip else {
        return false;
    };
    let octets = ip.octets();
    match prefix.bits {
        88 => octets[0] == 0xfd && octets[9] == 0x99 && octets[10] == 0x93,
        40 => {
            let folded = (network ^ network >> 32) as u32;
            octets[0] == 0xfc && octets[1..5] == folded.to_be_bytes()
        }
        _ => false,
    }
}

/// Is `ip` in the prefix of `bits` bits of `network`, whose host bits may be set? Lengths beyond the family's are as the
/// longest.
pub(super) fn within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let mask = mask_ipv4(bits);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let mask = mask_ipv6(bits);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

/// Address of an IPv4 rule and an address in a frame: within the prefix?
pub(super) fn within_ipv4(ip: [u8; 4], network: Ipv4Addr, bits: u8) -> bool {
    within(Ipv4Addr::from(ip).into(), network.into(), bits)
}

fn mask_ipv4(bits: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(bits.min(32)))
        .unwrap_or(0)
}

/// The prefix mask of `bits` bits.
pub(super) fn mask_ipv6(bits: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(bits.min(128)))
        .unwrap_or(0)
}

/// `tags` is sorted by id.
fn find_tag(tags: &[(u32, u32)], id: u32) -> Option<u32> {
    let at = tags.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    tags.get(at).map(|(_, value)| *value)
}
