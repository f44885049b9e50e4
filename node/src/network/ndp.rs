//! IPv6 neighbour discovery answered on the spot, for address schemes from which the owner can be computed (protocol
//! specification 10.6).

use std::net::IpAddr;

use protocol::network_config::{FLAG_NDP_EMULATION, NetworkConfig};
use protocol::{Address, MacAddress};

use crate::frame::EthernetFrame;

const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// The neighbour advertisement that answers `frame`, as a whole Ethernet frame, if `frame` is a solicitation for an
/// address whose owner is another node that we can name.
pub(super) fn answer(
    config: &NetworkConfig,
    me: Address,
    frame: &EthernetFrame<'_>,
) -> Option<Vec<u8>> {
    if !config.has_flag(FLAG_NDP_EMULATION) || frame.ethertype != ETHERTYPE_IPV6 {
        return None;
    }
    let packet = frame.payload;
    if *packet.get(6)? != ICMPV6 || *packet.get(40)? != NEIGHBOUR_SOLICITATION {
        return None;
    }
    let target: [u8; 16] = packet.get(48..64)?.try_into().ok()?;
    let (owner, own) = config.assigned_ips.iter().find_map(|assigned| {
        let IpAddr::V6(own) = assigned.ip else {
            return None;
        };
        let own = own.octets();
        let owner = owner_of(config, &own, assigned.bits, &target)?;
        (owner != me).then_some((owner, own))
    })?;
    let mac = MacAddress::of(owner, config.network);
    let advertisement = EthernetFrame {
        destination: frame.source,
        source: mac,
        ethertype: ETHERTYPE_IPV6,
        payload: &advertisement(&target, &own, mac),
    };
    Some(advertisement.to_bytes())
}

/// The node whose computed address `target` is, if `own` with `bits` is our address in the same scheme.
fn owner_of(
    config: &NetworkConfig,
    own: &[u8; 16],
    bits: u8,
    target: &[u8; 16],
) -> Option<Address> {
    let id = config.network.0;
    let [_, _, _, _, p, q, r, s] = (id ^ (id >> 32)).to_be_bytes();
    let prefix = match (bits, own) {
        (88, [0xfd, _, _, _, _, _, _, _, _, 0x99, 0x93, ..]) => 11,
        (40, [0xfc, a, b, c, d, ..]) if [*a, *b, *c, *d] == [p, q, r, s] => 5,
        _ => return None,
    };
    let owner: [u8; 5] = target.get(prefix..prefix + 5)?.try_into().ok()?;
    (target[..prefix] == own[..prefix]).then(|| Address::from_bytes(owner))
}

fn advertisement(target: &[u8; 16], destination: &[u8; 16], mac: MacAddress) -> [u8; 72] {
    let mut packet = [0; 72];
    packet[0] = 0x60;
    packet[5] = 32;
    packet[6] = ICMPV6;
    packet[7] = 255;
    packet[8..24].copy_from_slice(target);
    packet[24..40].copy_from_slice(destination);
    packet[40] = NEIGHBOUR_ADVERTISEMENT;
    packet[44] = 0x60; // solicited, override
    packet[48..64].copy_from_slice(target);
    packet[64] = 2; // option: target link-layer address, one unit of 8 bytes
    packet[65] = 1;
    packet[66..].copy_from_slice(&mac.0);

    // The pseudo-header of RFC 8200 8.1: both addresses, upper-layer length, next header.
    let mut sum = 32 + u32::from(ICMPV6);
    for pair in packet[8..].chunks_exact(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !sum as u16;
    packet[42..44].copy_from_slice(&checksum.to_be_bytes());
    packet
}
