//! Signed slices of a configuration (protocol specification 12.4).

use crate::{DecodeError, Identity, NetworkId, Reader, Signature};

/// Largest slice that stock controllers put into a chunk.
pub const MAX_CHUNK_DATA: usize = 9740;

const SIGNATURE_TYPE: u8 = 1;
const SIGNATURE_LENGTH: u16 = 96;

/// A signed slice of a configuration's dictionary (specification 12.4).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ConfigChunk {
    pub network: NetworkId,
    /// At most 65535 bytes.
    pub data: Vec<u8>,
    /// None in the legacy form, which ends after the data.
    pub signed: Option<ChunkSignature>,
}

/// The part of a chunk that the legacy form lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ChunkSignature {
    /// Raw flags, all of them under the signature; see [`Self::propagate`].
    pub flags: u8,
    pub update_id: u64,
    pub total_length: u32,
    pub index: u32,
    pub signature: Signature,
}

impl ChunkSignature {
    /// Flag: to be passed on to the other members.
    pub const PROPAGATE: u8 = 0x01;

    /// To be passed on to the other members?
    pub const fn propagate(&self) -> bool {
        self.flags & Self::PROPAGATE != 0
    }
}

impl ConfigChunk {
    /// Reads a chunk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let network = reader.network_id("chunk's network")?;
        let length = reader.u16("chunk length")?;
        let data = reader.bytes(usize::from(length), "chunk data")?.to_vec();
        if reader.is_empty() {
            return Ok(Self {
                network,
                data,
                signed: None,
            });
        }
        let flags = reader.u8("chunk flags")?;
        let update_id = reader.u64("update id")?;
        let total_length = reader.u32("total length")?;
        let index = reader.u32("chunk index")?;
        if reader.u8("signature type")? != SIGNATURE_TYPE {
            return Err(DecodeError::Invalid("signature type"));
        }
        if reader.u16("signature length")? != SIGNATURE_LENGTH {
            return Err(DecodeError::Invalid("signature length"));
        }
        let signature = Signature(reader.array("chunk signature")?);
        let signed = ChunkSignature {
            flags,
            update_id,
            total_length,
            index,
            signature,
        };
        Ok(Self {
            network,
            data,
            signed: Some(signed),
        })
    }

    /// Appends the chunk's wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.signed_bytes());
        if let Some(signed) = &self.signed {
            out.push(SIGNATURE_TYPE);
            out.extend_from_slice(&SIGNATURE_LENGTH.to_be_bytes());
            out.extend_from_slice(&signed.signature.0);
        }
    }

    /// The bytes under the signature: from network id through index.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let data = &self.data[..self.data.len().min(usize::from(u16::MAX))];
        let mut out = Vec::with_capacity(data.len() + 27);
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(data);
        if let Some(signed) = &self.signed {
            out.push(signed.flags);
            out.extend_from_slice(&signed.update_id.to_be_bytes());
            out.extend_from_slice(&signed.total_length.to_be_bytes());
            out.extend_from_slice(&signed.index.to_be_bytes());
        }
        out
    }

    /// Signed by the network's controller, whose identity is given? Never true of the legacy form.
    pub fn verify(&self, controller: &Identity) -> bool {
        controller.address() == self.network.controller()
            && self
                .signed
                .as_ref()
                .is_some_and(|signed| controller.verify(&self.signed_bytes(), &signed.signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back() {
        let signed = ChunkSignature {
            flags: 0x81,
            update_id: 2,
            total_length: 3,
            index: 4,
            signature: Signature([5; 96]),
        };
        for signed in [None, Some(signed)] {
            let chunk = ConfigChunk {
                network: NetworkId(1),
                data: b"abc".to_vec(),
                signed,
            };
            let mut bytes = Vec::new();
            chunk.encode(&mut bytes);
            assert_eq!(ConfigChunk::decode(&bytes), Ok(chunk));
        }
    }
}
