//! Physical addresses in wire form and their classes (protocol specification 5).

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    /// Largest prefix length of the family of `ip`.
    pub const fn max_bits(ip: IpAddr) -> u8 {
        match ip {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    /// The same prefix without host bits.
    pub fn network(&self) -> Self {
        let ip = match self.ip {
            IpAddr::V4(ip) => {
                let host = u32::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
                IpAddr::from(Ipv4Addr::from_bits(ip.to_bits() & !host))
            }
            IpAddr::V6(ip) => {
                let host = u128::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
                IpAddr::from(Ipv6Addr::from_bits(ip.to_bits() & !host))
            }
        };
        Self { ip, ..*self }
    }

    /// True if `ip` is of the same family and within this prefix.
    ///
    /// An IPv6 prefix with host bits set contains nothing, as in the reference (specification 5.3); an IPv4 prefix
    /// is masked before the comparison.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.bits.min(32)))
                    .unwrap_or(0);
                network.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits.min(128)))
                    .unwrap_or(0);
                network.to_bits() == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

impl FromStr for IpPrefix {
    type Err = DecodeError;

    /// `IP/bits`, the bits within the family's range.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let (ip, bits) =
            split_text(text).ok_or(DecodeError::Invalid("prefix: expected IP/bits"))?;
        let bits = u8::try_from(bits)
            .ok()
            .filter(|bits| *bits <= Self::max_bits(ip));
        Ok(Self {
            ip,
            bits: bits.ok_or(DecodeError::TooLarge("prefix length"))?,
        })
    }
}

/// Reads an endpoint in the form of world definitions: `IP/port`.
pub fn parse_endpoint(text: &str) -> Result<SocketAddr, DecodeError> {
    let (ip, port) = split_text(text).ok_or(DecodeError::Invalid("endpoint: expected IP/port"))?;
    Ok(SocketAddr::new(ip, port))
}

/// Writes an endpoint in the form of world definitions: `IP/port`.
pub fn endpoint_text(endpoint: SocketAddr) -> String {
    format!("{}/{}", endpoint.ip(), endpoint.port())
}

fn split_text(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, number) = text.split_once('/')?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    Some((ip.parse().ok()?, digits.then(|| number.parse().ok())??))
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
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    const fn of_v4(ip: Ipv4Addr) -> Self {
        match ip.octets() {
            [0 | 255, ..] => Self::None,
            [224..=239, ..] => Self::Multicast,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [10, ..]
            | [100, 64..=127, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 2, _]
            | [198, 18..=19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Private,
            [
                6 | 11 | 21 | 22 | 25 | 26 | 28 | 29 | 30 | 51 | 55 | 56 | 240..=254,
                ..,
            ] => Self::PseudoPrivate,
            _ => Self::Global,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        const FIRST_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let octets = ip.octets();
        if ip.is_unspecified() {
            Self::None
        } else if octets[0] == 0xff {
            Self::Multicast
        } else if ip.is_loopback()
            || ip == FIRST_LINK_LOCAL
            || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        {
            Self::Loopback
        } else if octets[0] == 0xfe && octets[1] & 0xc0 == 0x80 {
            Self::LinkLocal
        } else if octets[0] & 0xfe == 0xfc {
            Self::Private
        } else {
            Self::Global
        }
    }
}

/// May an address be learned or contacted as a path, judged by itself alone (specification 5.3, item 1)?
pub fn is_usable_for_paths(ip: IpAddr) -> bool {
    let scope = matches!(
        IpScope::of(ip),
        IpScope::PseudoPrivate | IpScope::Global | IpScope::Shared | IpScope::Private
    );
    // 2001:470::/32 belongs to a tunnel broker: such a path would be slower than the one below it.
    scope && !matches!(ip, IpAddr::V6(ip) if ip.segments()[..2] == [0x2001, 0x470])
}

const TYPE_NULL: u8 = 0;
const TYPE_ETHERNET: u8 = 1;
const TYPE_BLUETOOTH: u8 = 2;
const TYPE_OTHER: u8 = 3;
const TYPE_IPV4: u8 = 4;
const TYPE_IPV6: u8 = 6;

/// Appends the wire form of an endpoint (specification 5.1): `None` is the null address.
pub fn encode_endpoint(endpoint: Option<SocketAddr>, out: &mut Vec<u8>) {
    encode(endpoint.map(|e| (e.ip(), e.port())), out);
}

/// Reads the wire form of an endpoint; reserved types are skipped and yield `None`.
pub fn decode_endpoint(reader: &mut Reader<'_>) -> Result<Option<SocketAddr>, DecodeError> {
    Ok(decode(reader)?.map(|(ip, port)| SocketAddr::new(ip, port)))
}

/// Appends a prefix: an endpoint whose port field carries the prefix length.
pub fn encode_prefix(prefix: Option<IpPrefix>, out: &mut Vec<u8>) {
    encode(prefix.map(|p| (p.ip, u16::from(p.bits))), out);
}

/// Reads a prefix; a length beyond the family's maximum is an error.
pub fn decode_prefix(reader: &mut Reader<'_>) -> Result<Option<IpPrefix>, DecodeError> {
    let Some((ip, bits)) = decode(reader)? else {
        return Ok(None);
    };
    let bits = u8::try_from(bits)
        .ok()
        .filter(|bits| *bits <= IpPrefix::max_bits(ip));
    Ok(Some(IpPrefix {
        ip,
        bits: bits.ok_or(DecodeError::TooLarge("prefix length"))?,
    }))
}

fn encode(address: Option<(IpAddr, u16)>, out: &mut Vec<u8>) {
    let Some((ip, number)) = address else {
        out.push(TYPE_NULL);
        return;
    };
    match ip {
        IpAddr::V4(ip) => {
            out.push(TYPE_IPV4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(TYPE_IPV6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&number.to_be_bytes());
}

fn decode(reader: &mut Reader<'_>) -> Result<Option<(IpAddr, u16)>, DecodeError> {
    let ip = match reader.u8("address type")? {
        TYPE_NULL => return Ok(None),
        TYPE_ETHERNET | TYPE_BLUETOOTH => {
            reader.skip(6);
            return Ok(None);
        }
        TYPE_OTHER => {
            let length = reader.u16("address length")?;
            reader.skip(usize::from(length));
            return Ok(None);
        }
        TYPE_IPV4 => IpAddr::from(reader.array::<4>("IPv4 address")?),
        TYPE_IPV6 => IpAddr::from(reader.array::<16>("IPv6 address")?),
        _ => return Err(DecodeError::Invalid("address type")),
    };
    Ok(Some((ip, reader.u16("port")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_no_host_bits() {
        for (text, network) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("fd00::1:2/112", "fd00::1:0/112"),
            ("fd00::1:2/128", "fd00::1:2/128"),
        ] {
            let prefix: IpPrefix = text.parse().unwrap();
            assert_eq!(prefix.network().to_string(), network);
        }
    }

    #[test]
    fn text_of_prefixes_and_endpoints() {
        let prefix: IpPrefix = "10.1.2.3/24".parse().unwrap();
        assert_eq!(
            prefix,
            IpPrefix {
                ip: Ipv4Addr::new(10, 1, 2, 3).into(),
                bits: 24
            }
        );
        assert_eq!(prefix.to_string(), "10.1.2.3/24");
        for bad in [
            "",
            "10.1.2.3",
            "10.1.2.3/",
            "10.1.2.3/33",
            "10.1.2.3/+8",
            "::/129",
            "x/8",
            "10.1.2.3/-1",
        ] {
            assert!(bad.parse::<IpPrefix>().is_err(), "{bad}");
        }
        assert_eq!(
            parse_endpoint("fd00::1/9993"),
            Ok("[fd00::1]:9993".parse().unwrap())
        );
        assert_eq!(
            endpoint_text("[fd00::1]:9993".parse().unwrap()),
            "fd00::1/9993"
        );
        assert!(parse_endpoint("10.0.0.1/65536").is_err());
    }

    #[test]
    fn reserved_types_are_skipped_even_past_the_end() {
        let mut out = Vec::new();
        encode_endpoint(None, &mut out);
        assert_eq!(out, [0]);
        let mut reader = Reader::new(&[3, 0, 2, 9, 9, 1, 1, 2, 3, 4, 5, 6, 2]);
        for _ in 0..3 {
            assert_eq!(decode_endpoint(&mut reader), Ok(None));
        }
        assert!(reader.is_empty());
        assert!(decode_endpoint(&mut reader).is_err());
    }

    #[test]
    fn prefix_lengths_are_bounded_by_the_family() {
        let read = |bytes: &[u8]| decode_prefix(&mut Reader::new(bytes));
        assert!(read(&[4, 10, 0, 0, 1, 0, 32]).is_ok());
        assert_eq!(
            read(&[4, 10, 0, 0, 1, 0, 33]),
            Err(DecodeError::TooLarge("prefix length"))
        );
        assert_eq!(
            read(&[4, 10, 0, 0, 1, 1, 0]),
            Err(DecodeError::TooLarge("prefix length"))
        );
    }
}
