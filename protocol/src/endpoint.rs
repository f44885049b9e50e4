//! Physical addresses in wire form and their classes (protocol specification 5).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::{DecodeError, Reader};

/// An IP address with a prefix length: `10.0.0.1/24`. Host bits may be set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IpPrefix {
    /// The address, host bits included.
    pub ip: IpAddr,
    /// Prefix length: 0..=32 or 0..=128.
    pub bits: u8,
}

impl IpPrefix {
    /// True if `ip` is of the same family and within this prefix.
    pub fn contains(&self, _ip: IpAddr) -> bool {
        todo!()
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

impl FromStr for IpPrefix {
    type Err = DecodeError;
    fn from_str(_text: &str) -> Result<Self, DecodeError> {
        todo!()
    }
}

/// Scope class of an IP address; the order is the order of preference (specification 5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
pub enum IpScope {
    None = 0,
    Multicast = 1,
    Loopback = 2,
    PseudoPrivate = 3,
    Global = 4,
    LinkLocal = 5,
    Shared = 6,
    Private = 7,
}

impl IpScope {
    /// The class of `ip`.
    pub fn of(_ip: IpAddr) -> Self {
        todo!()
    }
}

/// Appends the wire form of an endpoint (specification 5.1): `None` is the null address.
pub fn encode_endpoint(_endpoint: Option<SocketAddr>, _out: &mut Vec<u8>) {
    todo!()
}

/// Reads the wire form of an endpoint; reserved types are skipped and yield `None`.
pub fn decode_endpoint(_reader: &mut Reader<'_>) -> Result<Option<SocketAddr>, DecodeError> {
    todo!()
}

/// Appends a prefix: an endpoint whose port field carries the prefix length.
pub fn encode_prefix(_prefix: Option<IpPrefix>, _out: &mut Vec<u8>) {
    todo!()
}

/// Reads a prefix; a length beyond the family's maximum is an error.
pub fn decode_prefix(_reader: &mut Reader<'_>) -> Result<Option<IpPrefix>, DecodeError> {
    todo!()
}
