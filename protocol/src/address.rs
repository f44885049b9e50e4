//! Node addresses, network ids, MAC addresses and multicast groups (protocol specification 1.1, 10.1, 10.2, 11.1).

use core::fmt;
use core::str::FromStr;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::DecodeError;

/// A 40-bit node address. Zero stands for "none" where the wire allows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(u64);

impl Address {
    /// No address.
    pub const NONE: Self = Self(0);

    /// The low 40 bits of `value`.
    pub const fn from_u64(value: u64) -> Self {
        Self(value & 0xff_ffff_ffff)
    }

    /// From the wire form: 5 bytes, big-endian.
    pub const fn from_bytes(b: [u8; 5]) -> Self {
        Self(u64::from_be_bytes([0, 0, 0, b[0], b[1], b[2], b[3], b[4]]))
    }

    /// The wire form: 5 bytes, big-endian.
    pub const fn to_bytes(self) -> [u8; 5] {
        let b = self.0.to_be_bytes();
        [b[3], b[4], b[5], b[6], b[7]]
    }

    /// The address as an integer below 2^40.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Zero, or first byte 0xff: never the address of a node.
    pub const fn is_reserved(self) -> bool {
        self.0 == 0 || self.0 >> 32 == 0xff
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010x}", self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = DecodeError;

    /// Exactly 10 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        parse_hex(text, 10)
            .map(Self)
            .ok_or(DecodeError::Invalid("address: expected 10 hex digits"))
    }
}

/// A 64-bit network id: the controller's address, then 24 bits that the controller chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NetworkId(pub u64);

impl NetworkId {
    /// The address of the network's controller.
    pub const fn controller(self) -> Address {
        Address::from_u64(self.0 >> 24)
    }

    /// Networks whose id begins with 0xff have no controller (specification 10.8).
    pub const fn is_ad_hoc(self) -> bool {
        self.0 >> 56 == 0xff
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NetworkId {
    type Err = DecodeError;

    /// Exactly 16 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        parse_hex(text, 16)
            .map(Self)
            .ok_or(DecodeError::Invalid("network id: expected 16 hex digits"))
    }
}

fn parse_hex(text: &str, digits: usize) -> Option<u64> {
    let valid = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The MAC address of `node` on `network` (specification 10.2).
    pub const fn of(node: Address, network: NetworkId) -> Self {
        let [a, b, c, d, e] = node.to_bytes();
        let n = network.0.to_le_bytes();
        Self([
            Self::first_octet(network),
            a ^ n[1],
            b ^ n[2],
            c ^ n[3],
            d ^ n[4],
            e ^ n[5],
        ])
    }

    /// The node whose MAC address on `network` this is, or none if it belongs to no node of that network.
    pub fn to_address(self, network: NetworkId) -> Option<Address> {
        let [first, a, b, c, d, e] = self.0;
        let n = network.0.to_le_bytes();
        (first == Self::first_octet(network))
            .then(|| Address::from_bytes([a ^ n[1], b ^ n[2], c ^ n[3], d ^ n[4], e ^ n[5]]))
    }

    const fn first_octet(network: NetworkId) -> u8 {
        let first = (network.0 as u8 & 0xfe) | 0x02;
        if first == 0x52 { 0x32 } else { first }
    }

    /// Multicast or broadcast.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// All ones.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// All zeros.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A multicast group: a MAC address and additional distinguishing information, which is 0 except for ARP
/// (specification 11.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MulticastGroup {
    /// Destination MAC address.
    pub mac: MacAddress,
    /// For ARP the IPv4 address as an integer, else 0.
    pub adi: u32,
}

impl MulticastGroup {
    /// The group in which an owner of `ip` listens for ARP requests.
    pub fn arp(ip: Ipv4Addr) -> Self {
        Self {
            mac: MacAddress::BROADCAST,
            adi: ip.to_bits(),
        }
    }

    /// The solicited-node group of `ip` (RFC 4291 2.7.1, RFC 2464 7).
    pub fn solicited_node(ip: Ipv6Addr) -> Self {
        let [.., a, b, c] = ip.octets();
        Self {
            mac: MacAddress([0x33, 0x33, 0xff, a, b, c]),
            adi: 0,
        }
    }
}
