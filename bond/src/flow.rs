//! Which conversation a frame belongs to. [`flow_id`] is the number that the reference computes (protocol specification
//! 15.3); [`flow_hash`] spreads better and is for our own choices of worker, lane and slot. Neither is ever sent.

/// Ethertype of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Ethertype of a VLAN tag.
const ETHERTYPE_VLAN: u16 = 0x8100;
/// Ethertype of the outer of two VLAN tags.
const ETHERTYPE_VLAN_OUTER: u16 = 0x88a8;

const IPV4_HEADER_LENGTH: usize = 20;
const IPV6_HEADER_LENGTH: usize = 40;

/// Where the header after IP begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpperLayer {
    /// IP protocol number of that header.
    pub protocol: u8,
    /// Offset from the first byte of the IP header; may lie at or beyond the end of a cut frame.
    pub offset: usize,
}

impl UpperLayer {
    /// Finds the header after IP as the rules engine does (protocol specification 14.3): IPv4 options and the IPv6
    /// extension headers 0, 43, 60 and 135 are skipped. `None` if `payload` is no whole IP header, or if an extension header
    /// is cut.
    pub fn find(ethertype: u16, payload: &[u8]) -> Option<Self> {
        match ethertype {
            ETHERTYPE_IPV4 if payload.len() >= IPV4_HEADER_LENGTH => Some(Self {
                protocol: payload[9],
                offset: usize::from(payload[0] & 0x0f) * 4,
            }),
            ETHERTYPE_IPV6 if payload.len() >= IPV6_HEADER_LENGTH => {
                let mut protocol = payload[6];
                let mut offset = IPV6_HEADER_LENGTH;
                while matches!(protocol, 0 | 43 | 60 | 135) {
                    let header = payload.get(offset..offset + 8)?;
                    protocol = header[0];
                    offset += 8 + 8 * usize::from(header[1]);
                }
                (offset <= payload.len()).then_some(Self { protocol, offset })
            }
            _ => None,
        }
    }

    /// Source and destination port if this is TCP, UDP, SCTP or UDP-Lite with more than 4 bytes left in `payload`. The
    /// "ports" of a later IPv4 fragment are data, as in the reference.
    pub fn ports(self, payload: &[u8]) -> Option<(u16, u16)> {
        if !matches!(self.protocol, 6 | 17 | 132 | 136) {
            return None;
        }
        let ports = payload.get(self.offset..self.offset + 5)?;
        Some((
            u16::from_be_bytes([ports[0], ports[1]]),
            u16::from_be_bytes([ports[2], ports[3]]),
        ))
    }
}

/// A conversation between two ports, as the reference numbers it (protocol specification 15.3): 0..=65535.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(u16);

impl FlowId {
    /// The number.
    pub const fn value(self) -> i32 {
        self.0 as i32
    }

    /// What the reference's table of flows is keyed by: the low 16 bits as a signed number.
    pub const fn table_key(self) -> i16 {
        self.0 as i16
    }

    /// The link of `links` that the reference's balance-xor gives to a frame: |id mod n|, where "no flow" is -1.
    /// `None` if there is no link.
    pub fn xor_choice(flow: Option<Self>, links: usize) -> Option<usize> {
        // |-1 mod n| is 0 for one link and 1 for more.
        let magnitude = flow.map_or(1, |flow| usize::from(flow.0));
        magnitude.checked_rem(links)
    }
}

/// The flow of an Ethernet frame's payload, or `None` if it has no ports.
pub fn flow_id(ethertype: u16, payload: &[u8]) -> Option<FlowId> {
    let upper = UpperLayer::find(ethertype, payload)?;
    let (source, destination) = upper.ports(payload)?;
    Some(FlowId(source ^ destination ^ u16::from(upper.protocol)))
}

/// What makes two frames one flow, in the words of the kernel's `xmit_hash_policy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HashPolicy {
    /// Ethernet addresses.
    Layer2,
    /// IP addresses; Ethernet addresses where there are none.
    Layer2And3,
    /// IP addresses, protocol and ports.
    #[default]
    Layer3And4,
}

impl HashPolicy {
    /// As written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Layer2 => "layer2",
            Self::Layer2And3 => "layer2+3",
            Self::Layer3And4 => "layer3+4",
        }
    }
}

/// The hash of a frame: 14 bytes of Ethernet header, then `payload`. The same in both directions.
#[inline]
pub fn hash_frame(policy: HashPolicy, header: &[u8], payload: &[u8]) -> u32 {
    let ethertype = match header {
        [.., high, low] => u16::from_be_bytes([*high, *low]),
        _ => return 0,
    };
    match policy {
        HashPolicy::Layer3And4 => flow_hash(ethertype, payload),
        HashPolicy::Layer2And3 => {
            address_pair_hash(ethertype, payload).unwrap_or_else(|| mac_pair_hash(header))
        }
        HashPolicy::Layer2 => mac_pair_hash(header),
    }
}

fn mac_pair_hash(header: &[u8]) -> u32 {
    let (Some(one), Some(other)) = (header.get(..6), header.get(6..12)) else {
        return 0;
    };
    let number = |mac: &[u8]| mac.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    fold(mix(mix(number(one)).wrapping_add(mix(number(other)))))
}

fn address_pair_hash(ethertype: u16, payload: &[u8]) -> Option<u32> {
    let (ethertype, payload) = untag(untag((ethertype, payload)));
    let (one, other) = match ethertype {
        ETHERTYPE_IPV4 => (payload.get(12..16)?, payload.get(16..20)?),
        ETHERTYPE_IPV6 => (payload.get(8..24)?, payload.get(24..40)?),
        _ => return None,
    };
    Some(fold(mix(
        address_hash(one).wrapping_add(address_hash(other))
    )))
}

/// A well mixed hash of addresses, protocol and ports, the same in both directions. Fragments hash without ports, so that
/// those of one datagram stay together; up to two VLAN tags are looked through; frames that are not IP hash by Ethertype.
pub fn flow_hash(ethertype: u16, payload: &[u8]) -> u32 {
    let (ethertype, payload) = match ethertype {
        ETHERTYPE_VLAN | ETHERTYPE_VLAN_OUTER => untag(untag((ethertype, payload))),
        _ => (ethertype, payload),
    };
    let Some(upper) = UpperLayer::find(ethertype, payload) else {
        return fold(mix(u64::from(ethertype)));
    };
    let (source, destination, fragment) = if ethertype == ETHERTYPE_IPV4 {
        (
            u64::from(read_u32(payload, 12)),
            u64::from(read_u32(payload, 16)),
            // More fragments, or an offset.
            read_u32(payload, 4) & 0x3fff != 0,
        )
    } else {
        (
            address_hash(&payload[8..24]),
            address_hash(&payload[24..40]),
            // The fragment header's protocol number has no ports.
            false,
        )
    };
    let (source_port, destination_port) = match upper.ports(payload) {
        Some(ports) if !fragment => ports,
        _ => (0, 0),
    };
    let one = mix(source ^ u64::from(source_port) << 40);
    let other = mix(destination ^ u64::from(destination_port) << 40);
    fold(mix(one
        .wrapping_add(other)
        .wrapping_add(u64::from(upper.protocol))))
}

/// Steps over a VLAN tag if there is one.
fn untag((ethertype, payload): (u16, &[u8])) -> (u16, &[u8]) {
    match (ethertype, payload) {
        (ETHERTYPE_VLAN | ETHERTYPE_VLAN_OUTER, [_, _, high, low, rest @ ..]) => {
            (u16::from_be_bytes([*high, *low]), rest)
        }
        _ => (ethertype, payload),
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn address_hash(address: &[u8]) -> u64 {
    address
        .chunks_exact(4)
        .fold(0, |hash, chunk| mix(hash ^ u64::from(read_u32(chunk, 0))))
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

const fn fold(value: u64) -> u32 {
    (value ^ value >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet with ports.
    fn ipv4(protocol: u8, from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
        let mut packet = vec![0; IPV4_HEADER_LENGTH];
        packet[0] = 0x45;
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&from.0);
        packet[16..20].copy_from_slice(&to.0);
        packet.extend(from.1.to_be_bytes());
        packet.extend(to.1.to_be_bytes());
        packet.extend([0; 8]);
        packet
    }

    #[test]
    fn id_is_the_same_in_both_directions_and_ignores_addresses() {
        let there = ipv4(6, ([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 22));
        let back = ipv4(6, ([10, 0, 0, 9], 22), ([10, 0, 0, 7], 40000));
        let id = flow_id(ETHERTYPE_IPV4, &there);
        assert_eq!(id, Some(FlowId(40000 ^ 22 ^ 6)));
        assert_eq!(id, flow_id(ETHERTYPE_IPV4, &back));
    }

    #[test]
    fn no_flow_chooses_the_second_link_if_there_is_one() {
        assert_eq!(FlowId::xor_choice(None, 0), None);
        assert_eq!(FlowId::xor_choice(None, 1), Some(0));
        assert_eq!(FlowId::xor_choice(None, 3), Some(1));
    }

    #[test]
    fn hash_is_symmetric_and_depends_on_addresses_ports_and_protocol() {
        let (a, b, c) = (
            ([10, 0, 0, 1], 1000),
            ([10, 0, 0, 2], 2000),
            ([10, 0, 0, 3], 2000),
        );
        let hash = |protocol, from, to| flow_hash(ETHERTYPE_IPV4, &ipv4(protocol, from, to));
        assert_eq!(hash(6, a, b), hash(6, b, a));
        assert_ne!(hash(6, a, b), hash(17, a, b));
        assert_ne!(hash(6, a, b), hash(6, a, c));
        assert_ne!(hash(6, a, b), hash(6, (a.0, 1001), b));
        // Swapping the ports alone makes another conversation.
        assert_ne!(hash(6, a, b), hash(6, (a.0, b.1), (b.0, a.1)));
    }

    #[test]
    fn hash_spreads_neighbouring_conversations_over_slots() {
        let mut used = std::collections::BTreeSet::new();
        for port in 0..1000 {
            let packet = ipv4(6, ([10, 0, 0, 1], 32768 + port), ([10, 0, 0, 2], 443));
            used.insert(flow_hash(ETHERTYPE_IPV4, &packet) % 1024);
        }
        // 1000 balls into 1024 bins fill some 640 of them.
        assert!(used.len() > 560, "{} of 1024 slots", used.len());
    }

    #[test]
    fn fragments_of_a_datagram_share_their_hash() {
        let mut first = ipv4(17, ([10, 0, 0, 1], 5), ([10, 0, 0, 2], 6));
        first[6] = 0x20;
        let mut later = ipv4(17, ([10, 0, 0, 1], 0xdead), ([10, 0, 0, 2], 0xbeef));
        later[7] = 185;
        assert_eq!(
            flow_hash(ETHERTYPE_IPV4, &first),
            flow_hash(ETHERTYPE_IPV4, &later)
        );
    }

    /// The header of a frame between two Ethernet addresses.
    fn ethernet(to: u64, from: u64, ethertype: u16) -> Vec<u8> {
        let (to, from) = (to.to_be_bytes(), from.to_be_bytes());
        [&to[2..], &from[2..], &ethertype.to_be_bytes()[..]].concat()
    }

    #[test]
    fn layer_2_tells_ethernet_addresses_apart_and_nothing_else() {
        let packet = ipv4(6, ([10, 0, 0, 1], 1000), ([10, 0, 0, 2], 2000));
        let hash = |to, from, ethertype, payload: &[u8]| {
            hash_frame(HashPolicy::Layer2, &ethernet(to, from, ethertype), payload)
        };
        let one = hash(1, 2, ETHERTYPE_IPV4, &packet);
        assert_eq!(one, hash(2, 1, ETHERTYPE_IPV4, &packet));
        let other = ipv4(17, ([10, 0, 0, 7], 5), ([10, 0, 0, 8], 6));
        assert_eq!(one, hash(1, 2, ETHERTYPE_IPV4, &other));
        assert_eq!(one, hash(1, 2, ETHERTYPE_IPV6, &[]));
        // Neighbours on either side fill some 640 of 1024 slots.
        let slots = |hash: &dyn Fn(u64) -> u32| {
            let used: std::collections::BTreeSet<u32> =
                (0..1000).map(|number| hash(number) % 1024).collect();
            used.len()
        };
        let from = slots(&|number| hash(1, 0x0200_0000_0000 + number, ETHERTYPE_IPV4, &packet));
        let to = slots(&|number| hash(0x0200_0000_0000 + number, 1, ETHERTYPE_IPV4, &packet));
        assert!(from > 560 && to > 560, "{from} and {to} of 1024 slots");
    }

    #[test]
    fn layers_2_and_3_tell_ip_addresses_apart_and_ethernet_addresses_of_what_is_not_ip() {
        let hash = |from, ethertype, payload: &[u8]| {
            let policy = HashPolicy::Layer2And3;
            hash_frame(policy, &ethernet(1, from, ethertype), payload)
        };
        let (a, b, c) = ([10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]);
        let packet = ipv4(6, (a, 1000), (b, 2000));
        let one = hash(2, ETHERTYPE_IPV4, &packet);
        assert_eq!(one, hash(3, ETHERTYPE_IPV4, &packet));
        assert_eq!(one, hash(2, ETHERTYPE_IPV4, &ipv4(17, (b, 5), (a, 6))));
        assert_ne!(one, hash(2, ETHERTYPE_IPV4, &ipv4(6, (a, 1000), (c, 2000))));
        // ARP has no IP header.
        let arp = |from| hash(from, 0x0806, &packet);
        assert_eq!(arp(2), arp(2));
        assert_ne!(arp(2), arp(3));
    }

    #[test]
    fn hash_looks_through_vlan_tags() {
        let packet = ipv4(6, ([10, 0, 0, 1], 1000), ([10, 0, 0, 2], 2000));
        let tagged = [&[0, 100, 0x08, 0][..], &packet].concat();
        let twice = [&[0, 200, 0x81, 0][..], &tagged].concat();
        let hash = flow_hash(ETHERTYPE_IPV4, &packet);
        assert_eq!(flow_hash(ETHERTYPE_VLAN, &tagged), hash);
        assert_eq!(flow_hash(ETHERTYPE_VLAN_OUTER, &twice), hash);
    }

    #[test]
    fn cut_frames_do_not_panic() {
        let mut ipv6 = [0; 64];
        ipv6[0] = 0x60;
        for filler in [0u8, 43, 6, 17, 0xff] {
            ipv6[6] = filler;
            ipv6[40..].fill(filler);
            for ethertype in [
                ETHERTYPE_IPV4,
                ETHERTYPE_IPV6,
                ETHERTYPE_VLAN,
                ETHERTYPE_VLAN_OUTER,
            ] {
                for length in 0..=ipv6.len() {
                    flow_hash(ethertype, &ipv6[..length]);
                    flow_id(ethertype, &ipv6[..length]);
                }
            }
        }
    }
}
