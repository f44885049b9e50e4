//! Verbs that tell where nodes are: WHOIS, RENDEZVOUS, PUSH_DIRECT_PATHS (protocol specification 7.5, 7.6, 7.16).

use std::net::{IpAddr, SocketAddr};

use crate::{Address, DecodeError, Reader};

/// Reads the addresses of a WHOIS; a trailing partial address is ignored.
pub fn decode_whois(payload: &[u8]) -> Result<Vec<Address>, DecodeError> {
    let (addresses, _) = payload.as_chunks::<5>();
    Ok(addresses
        .iter()
        .map(|bytes| Address::from_bytes(*bytes))
        .collect())
}

/// RENDEZVOUS (7.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Rendezvous {
    pub flags: u8,
    pub peer: Address,
    /// Port 0: to be ignored.
    pub endpoint: SocketAddr,
}

impl Rendezvous {
    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let flags = reader.u8("rendezvous flags")?;
        let peer = reader.address("peer to meet")?;
        let port = reader.u16("port to meet at")?;
        let ip = match reader.u8("address length")? {
            4 => IpAddr::from(reader.array::<4>("address to meet at")?),
            16 => IpAddr::from(reader.array::<16>("address to meet at")?),
            _ => return Err(DecodeError::Invalid("address length")),
        };
        Ok(Self {
            flags,
            peer,
            endpoint: SocketAddr::new(ip, port),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        out.extend_from_slice(&self.peer.to_bytes());
        out.extend_from_slice(&self.endpoint.port().to_be_bytes());
        match self.endpoint.ip() {
            IpAddr::V4(ip) => {
                out.push(4);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(16);
                out.extend_from_slice(&ip.octets());
            }
        }
    }
}

/// One record of PUSH_DIRECT_PATHS (7.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct DirectPath {
    /// 0x01 forget this path, 0x02 cluster redirect.
    pub flags: u8,
    pub endpoint: SocketAddr,
}

/// Reads PUSH_DIRECT_PATHS; records of unknown type are skipped.
pub fn decode_direct_paths(payload: &[u8]) -> Result<Vec<DirectPath>, DecodeError> {
    let mut reader = Reader::new(payload);
    let mut paths = Vec::new();
    for _ in 0..reader.u16("number of paths")? {
        let flags = reader.u8("path flags")?;
        let extension = reader.u16("length of path extension")?;
        reader.bytes(usize::from(extension), "path extension")?;
        let kind = reader.u8("path type")?;
        let length = usize::from(reader.u8("path address length")?);
        let mut address = Reader::new(reader.bytes(length, "path address")?);
        let ip = match kind {
            4 => IpAddr::from(address.array::<4>("path address")?),
            6 => IpAddr::from(address.array::<16>("path address")?),
            _ => continue,
        };
        let endpoint = SocketAddr::new(ip, address.u16("path port")?);
        paths.push(DirectPath { flags, endpoint });
    }
    Ok(paths)
}

/// Appends PUSH_DIRECT_PATHS.
pub fn encode_direct_paths(paths: &[DirectPath], out: &mut Vec<u8>) {
    let paths = &paths[..paths.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(paths.len() as u16).to_be_bytes());
    for path in paths {
        out.push(path.flags);
        out.extend_from_slice(&[0, 0]);
        match path.endpoint.ip() {
            IpAddr::V4(ip) => {
                out.extend_from_slice(&[4, 6]);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.extend_from_slice(&[6, 18]);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&path.endpoint.port().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_kinds_and_extensions_are_passed_over() {
        let payload = [
            0, 2, 0, 0, 0, 9, 2, 1, 2, 1, 0, 3, 7, 7, 7, 4, 6, 10, 0, 0, 1, 0x27, 0x09,
        ];
        let endpoint = "10.0.0.1:9993".parse().unwrap();
        assert_eq!(
            decode_direct_paths(&payload),
            Ok(vec![DirectPath { flags: 1, endpoint }])
        );
        assert!(decode_direct_paths(&payload[..payload.len() - 1]).is_err());
    }

    #[test]
    fn rendezvous_over_ipv6() {
        let rendezvous = Rendezvous {
            flags: 0,
            peer: Address::from_u64(5),
            endpoint: "[fd00::1]:1".parse().unwrap(),
        };
        let mut bytes = Vec::new();
        rendezvous.encode(&mut bytes);
        assert_eq!(Rendezvous::decode(&bytes), Ok(rendezvous));
        bytes[8] = 6;
        assert!(Rendezvous::decode(&bytes).is_err());
    }
}
