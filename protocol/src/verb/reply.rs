//! What OK and ERROR have in common, and the bodies of ERROR (protocol specification 7.3, 7.4).

use crate::{DecodeError, MulticastGroup, NetworkId, PacketId, Reader};

/// The header of OK and ERROR payloads: which packet they answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InReply {
    /// Raw verb byte.
    pub verb: u8,
    /// Wire id of the packet that is answered.
    pub packet: PacketId,
}

impl InReply {
    /// Length of the encoded form.
    pub const LENGTH: usize = 9;

    /// Reads the header; returns it and the rest of the payload.
    pub fn decode(payload: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(payload);
        let verb = reader.u8("verb in reply")?;
        let packet = PacketId(reader.u64("packet in reply")?);
        Ok((Self { verb, packet }, reader.remaining()))
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.verb);
        out.extend_from_slice(&self.packet.0.to_be_bytes());
    }
}

/// Error codes (7.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
#[repr(u8)]
pub enum ErrorCode {
    InvalidRequest = 1,
    BadProtocolVersion = 2,
    ObjectNotFound = 3,
    IdentityCollision = 4,
    UnsupportedOperation = 5,
    NeedMembershipCertificate = 6,
    NetworkAccessDenied = 7,
    UnwantedMulticast = 8,
    NetworkAuthenticationRequired = 9,
}

impl ErrorCode {
    /// From the wire.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::InvalidRequest,
            2 => Self::BadProtocolVersion,
            3 => Self::ObjectNotFound,
            4 => Self::IdentityCollision,
            5 => Self::UnsupportedOperation,
            6 => Self::NeedMembershipCertificate,
            7 => Self::NetworkAccessDenied,
            8 => Self::UnwantedMulticast,
            9 => Self::NetworkAuthenticationRequired,
            _ => return None,
        })
    }

    const fn names_network(self) -> bool {
        !matches!(
            self,
            Self::InvalidRequest | Self::BadProtocolVersion | Self::IdentityCollision
        )
    }
}

/// Body of ERROR, after [`InReply`]: the raw code and what follows it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ErrorBody {
    pub code: u8,
    pub network: Option<NetworkId>,
    /// UNWANTED_MULTICAST only.
    pub group: Option<MulticastGroup>,
    /// NETWORK_AUTHENTICATION_REQUIRED only: an encoded dictionary, without its length.
    pub metadata: Option<Vec<u8>>,
}

impl ErrorBody {
    /// An error that is only a code and, for most codes, a network.
    pub const fn new(code: ErrorCode, network: Option<NetworkId>) -> Self {
        Self {
            code: code as u8,
            network,
            group: None,
            metadata: None,
        }
    }

    /// Reads the body, which follows [`InReply`]. Fields that the code has but the packet lacks are none.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut body = Self {
            code: reader.u8("error code")?,
            network: None,
            group: None,
            metadata: None,
        };
        let code = ErrorCode::from_byte(body.code);
        if code.is_some_and(ErrorCode::names_network) && !reader.is_empty() {
            body.network = Some(reader.network_id("error's network")?);
        }
        if code == Some(ErrorCode::UnwantedMulticast) && !reader.is_empty() {
            body.group = Some(super::multicast::read_group(&mut reader)?);
        }
        if code == Some(ErrorCode::NetworkAuthenticationRequired) && !reader.is_empty() {
            let length = reader.u16("length of error's metadata")?;
            body.metadata = Some(
                reader
                    .bytes(usize::from(length), "error's metadata")?
                    .to_vec(),
            );
        }
        Ok(body)
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code);
        if let Some(network) = self.network {
            out.extend_from_slice(&network.0.to_be_bytes());
        }
        if let Some(group) = &self.group {
            super::multicast::write_group(group, out);
        }
        if let Some(metadata) = &self.metadata {
            let metadata = &metadata[..metadata.len().min(usize::from(u16::MAX))];
            out.extend_from_slice(&(metadata.len() as u16).to_be_bytes());
            out.extend_from_slice(metadata);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MacAddress;

    #[test]
    fn every_code_comes_back_with_its_fields() {
        for byte in 1..=9 {
            let code = ErrorCode::from_byte(byte).unwrap();
            let mut body = ErrorBody::new(code, code.names_network().then_some(NetworkId(7)));
            match code {
                ErrorCode::UnwantedMulticast => {
                    body.group = Some(MulticastGroup {
                        mac: MacAddress::BROADCAST,
                        adi: 9,
                    });
                }
                ErrorCode::NetworkAuthenticationRequired => body.metadata = Some(b"a=1".to_vec()),
                _ => {}
            }
            let mut bytes = Vec::new();
            body.encode(&mut bytes);
            assert_eq!(ErrorBody::decode(&bytes), Ok(body));
        }
    }
}
