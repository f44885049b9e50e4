//! Verdicts of the rules that hold for a whole flow. (Which path a flow takes is another question: [`bond::flow_hash`].)

use bond::flow::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use node::frame::EthernetFrame;
use protocol::{Address, NetworkId};

const ENTRIES: usize = 2048;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What the rules can see of a frame that stays the same throughout a flow, except MAC addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flow {
    source: [u64; 2],
    destination: [u64; 2],
    /// Source and destination port, or ICMP type and code.
    ports: u32,
    ethertype: u16,
    protocol: u8,
    /// All that rules may read is in here: the verdict on one frame holds for the others.
    complete: bool,
}

impl Flow {
    /// Looks at addresses, protocol and ports as far as they are there.
    pub(crate) fn of(frame: &EthernetFrame<'_>) -> Self {
        let flow = match frame.ethertype {
            ETHERTYPE_IPV4 => Self::of_ipv4(frame.payload),
            ETHERTYPE_IPV6 => Self::of_ipv6(frame.payload),
            _ => None,
        };
        Self {
            ethertype: frame.ethertype,
            ..flow.unwrap_or_else(|| Self {
                source: [mac(frame.source.0), 0],
                destination: [mac(frame.destination.0), 0],
                ..Self::default()
            })
        }
    }

    fn of_ipv4(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<20>()?;
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        let ports = match fragment {
            false if header_length >= 20 => {
                ports(header[9], packet.get(header_length..).unwrap_or_default())
            }
            _ => None,
        };
        Some(Self {
            source: [u64::from(word(&header[12..])), 0],
            destination: [u64::from(word(&header[16..])), 0],
            ports: ports.unwrap_or_default(),
            ethertype: 0,
            protocol: header[9],
            complete: ports.is_some(),
        })
    }

    fn of_ipv6(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<40>()?;
        // Behind extension headers nothing is looked for: such flows are told apart by address, and not remembered.
        let ports = ports(header[6], &packet[40..]);
        let long =
            |at: usize| u64::from(word(&header[at..])) << 32 | u64::from(word(&header[at + 4..]));
        Some(Self {
            source: [long(8), long(16)],
            destination: [long(24), long(32)],
            ports: ports.unwrap_or_default(),
            ethertype: 0,
            protocol: header[6],
            complete: ports.is_some(),
        })
    }

    fn slot(&self, network: NetworkId, peer: Address) -> usize {
        let addresses = mix(
            self.source[0] ^ self.source[1].rotate_left(23),
            self.destination[0] ^ self.destination[1].rotate_left(41),
        );
        let rest = u64::from(self.ports) << 8 | u64::from(self.protocol);
        let hash = mix(addresses ^ network.0, rest ^ peer.to_u64().rotate_left(24));
        (hash >> 32) as usize % ENTRIES
    }
}

fn mac(octets: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = octets;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The first four bytes of `bytes`, which has them.
fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

/// Ports, or ICMP type and code, as far as all frames of the flow show them. Rules see ports only if something follows them.
fn ports(protocol: u8, transport: &[u8]) -> Option<u32> {
    match protocol {
        6 | 17 | 132 | 136 => transport
            .first_chunk::<5>()
            .map(|[a, b, c, d, _]| u32::from_be_bytes([*a, *b, *c, *d])),
        ICMP | ICMPV6 => transport
            .first_chunk::<2>()
            .map(|[kind, code]| u32::from(*kind) << 8 | u32::from(*code)),
        _ => None,
    }
}

/// Folded multiplication: every bit of the inputs reaches the middle of the product.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd6e8_feb8_6659_fd93);
    (product as u64) ^ (product >> 64) as u64
}

#[derive(Clone, Copy)]
struct Entry {
    flow: Flow,
    network: NetworkId,
    peer: Address,
    epoch: u64,
    accept: bool,
}

/// Verdicts by flow and peer, for one direction. Flows that fall on the same entry push each other out.
pub(crate) struct FlowCache {
    entries: Box<[Option<Entry>]>,
}

impl FlowCache {
    pub(crate) fn new() -> Self {
        Self {
            entries: vec![None; ENTRIES].into_boxed_slice(),
        }
    }

    /// What the rules of this epoch said of the flow.
    pub(crate) fn lookup(
        &self,
        flow: &Flow,
        network: NetworkId,
        peer: Address,
        epoch: u64,
    ) -> Option<bool> {
        self.entries[flow.slot(network, peer)]
            .as_ref()
            .filter(|entry| {
                entry.epoch == epoch
                    && entry.network == network
                    && entry.peer == peer
                    && entry.flow == *flow
            })
            .map(|entry| entry.accept)
    }

    /// Remembers a cacheable verdict, if the flow can be told from others.
    pub(crate) fn remember(
        &mut self,
        flow: &Flow,
        network: NetworkId,
        peer: Address,
        epoch: u64,
        accept: bool,
    ) {
        if flow.complete {
            self.entries[flow.slot(network, peer)] = Some(Entry {
                flow: *flow,
                network,
                peer,
                epoch,
                accept,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::MacAddress;

    fn ipv4(source: u8, destination: u8, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&[10, 0, 0, source]);
        packet[16..20].copy_from_slice(&[10, 0, 0, destination]);
        packet.extend_from_slice(transport);
        packet
    }

    fn flow(ethertype: u16, payload: &[u8]) -> Flow {
        Flow::of(&EthernetFrame {
            destination: MacAddress([2; 6]),
            source: MacAddress([4; 6]),
            ethertype,
            payload,
        })
    }

    #[test]
    fn verdicts_hold_for_one_flow_peer_network_and_epoch() {
        let mut cache = FlowCache::new();
        let (network, peer) = (NetworkId(1), Address::from_u64(2));
        let here = flow(0x0800, &ipv4(1, 2, 17, &[1, 2, 3, 4, 0]));
        cache.remember(&here, network, peer, 5, true);
        assert_eq!(cache.lookup(&here, network, peer, 5), Some(true));
        assert_eq!(cache.lookup(&here, network, peer, 6), None);
        assert_eq!(cache.lookup(&here, NetworkId(3), peer, 5), None);
        assert_eq!(cache.lookup(&here, network, Address::from_u64(3), 5), None);
        let other = flow(0x0800, &ipv4(1, 2, 17, &[1, 2, 3, 5, 0]));
        assert_eq!(cache.lookup(&other, network, peer, 5), None);
    }

    #[test]
    fn flows_that_do_not_show_their_ports_are_not_remembered() {
        let mut cache = FlowCache::new();
        let (network, peer) = (NetworkId(1), Address::from_u64(2));
        let mut fragment = ipv4(1, 2, 17, &[1, 2, 3, 4, 0]);
        fragment[7] = 9;
        let mut extension = vec![0; 60];
        extension[6] = 43;
        for (ethertype, payload) in [
            (0x0800, fragment),
            (0x0800, ipv4(1, 2, 17, &[1, 2, 3, 4])),
            (0x0800, ipv4(1, 2, 47, &[1, 2, 3, 4])),
            (0x86dd, extension),
            (0x0806, vec![0; 28]),
            (0x0800, vec![]),
        ] {
            let flow = flow(ethertype, &payload);
            cache.remember(&flow, network, peer, 5, true);
            assert_eq!(cache.lookup(&flow, network, peer, 5), None);
        }
    }
}
