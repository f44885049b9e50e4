//! An Ethernet frame as the node sees it.

use protocol::MacAddress;

/// Length of an Ethernet header without tags.
pub const ETHERNET_HEADER_LENGTH: usize = 14;

/// A borrowed Ethernet frame. VLAN tags get no special treatment: the tag stays in the payload (protocol
/// specification 10.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named by their type")]
pub struct EthernetFrame<'a> {
    pub destination: MacAddress,
    pub source: MacAddress,
    pub ethertype: u16,
    pub payload: &'a [u8],
}

impl<'a> EthernetFrame<'a> {
    /// None if shorter than an Ethernet header.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = bytes.split_first_chunk::<ETHERNET_HEADER_LENGTH>()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        Some(Self {
            destination: MacAddress([d0, d1, d2, d3, d4, d5]),
            source: MacAddress([s0, s1, s2, s3, s4, s5]),
            ethertype: u16::from_be_bytes([t0, t1]),
            payload,
        })
    }

    /// The 14 bytes in front of the payload.
    pub fn header(&self) -> [u8; ETHERNET_HEADER_LENGTH] {
        let mut header = [0; ETHERNET_HEADER_LENGTH];
        header[..6].copy_from_slice(&self.destination.0);
        header[6..12].copy_from_slice(&self.source.0);
        header[12..].copy_from_slice(&self.ethertype.to_be_bytes());
        header
    }

    /// Header and payload in one buffer.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.header()[..], self.payload].concat()
    }
}
