//! Reads classic pcap files: UDP over IPv4 over Ethernet, which is all that the captures hold.

use std::collections::BTreeMap;

/// A UDP datagram as captured on one link.
pub(crate) struct Datagram {
    /// Destination and source MAC address. A datagram that crosses two links is captured twice.
    pub(crate) ethernet_pair: [u8; 12],
    /// What UDP carried.
    pub(crate) payload: Vec<u8>,
}

/// All UDP datagrams of a capture, in order.
pub(crate) fn datagrams(file: &[u8]) -> Vec<Datagram> {
    let (header, mut rest) = file.split_at(24);
    assert_eq!(
        little_u32(header, 0),
        0xa1b2_c3d4,
        "pcap, microseconds, little-endian"
    );
    assert_eq!(little_u32(header, 20), 1, "Ethernet");
    let mut partial = BTreeMap::<(Vec<u8>, Vec<u8>), BTreeMap<usize, (Vec<u8>, bool)>>::new();
    let mut datagrams = Vec::new();
    while !rest.is_empty() {
        let (record, more) = rest.split_at(16);
        let (captured, original) = (little_u32(record, 8), little_u32(record, 12));
        assert_eq!(captured, original, "frames are captured whole");
        let (frame, more) = more.split_at(captured as usize);
        rest = more;

        let (ethernet, ip) = frame.split_at(14);
        if ethernet[12..] != [0x08, 0x00] || ip[9] != 17 {
            continue;
        }
        let ip = &ip[..usize::from(big_u16(ip, 2))];
        let (ip_header, body) = ip.split_at(usize::from(ip[0] & 0x0f) * 4);
        let fragmentation = big_u16(ip_header, 6);
        let (more_fragments, offset) = (
            fragmentation & 0x2000 != 0,
            usize::from(fragmentation & 0x1fff) * 8,
        );
        let mut ethernet_pair = [0; 12];
        ethernet_pair.copy_from_slice(&ethernet[..12]);
        if !more_fragments && offset == 0 {
            datagrams.push(Datagram {
                ethernet_pair,
                payload: udp_payload(body),
            });
            continue;
        }
        let key = (
            ethernet[..12].to_vec(),
            [&ip_header[4..6], &ip_header[12..20]].concat(),
        );
        let pieces = partial.entry(key.clone()).or_default();
        pieces.insert(offset, (body.to_vec(), more_fragments));
        if let Some(whole) = join(pieces) {
            datagrams.push(Datagram {
                ethernet_pair,
                payload: udp_payload(&whole),
            });
            partial.remove(&key);
        }
    }
    assert!(partial.is_empty(), "IP fragments are missing");
    datagrams
}

fn join(pieces: &BTreeMap<usize, (Vec<u8>, bool)>) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    for (offset, (piece, more_fragments)) in pieces {
        if *offset != whole.len() {
            return None;
        }
        whole.extend_from_slice(piece);
        if !more_fragments {
            return Some(whole);
        }
    }
    None
}

fn udp_payload(body: &[u8]) -> Vec<u8> {
    body[8..usize::from(big_u16(body, 4))].to_vec()
}

fn little_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn big_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
