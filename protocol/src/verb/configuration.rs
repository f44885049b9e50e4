//! NETWORK_CONFIG_REQUEST and the answer to NETWORK_CONFIG (protocol specification 7.12, 7.13). Configurations
//! themselves travel as [`crate::network_config::ConfigChunk`].

use crate::{DecodeError, NetworkId, Reader};

/// NETWORK_CONFIG_REQUEST (7.12).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct NetworkConfigRequest {
    pub network: NetworkId,
    /// Encoded dictionary, at most 65535 bytes; the reference reads 1023.
    pub metadata: Vec<u8>,
    pub have_revision: u64,
    pub have_timestamp: u64,
}

impl NetworkConfigRequest {
    /// Reads the payload; what is held already may be left out.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("requested network")?;
        let length = reader.u16("length of request's metadata")?;
        let metadata = reader
            .bytes(usize::from(length), "request's metadata")?
            .to_vec();
        let mut request = Self {
            network,
            metadata,
            have_revision: 0,
            have_timestamp: 0,
        };
        if !reader.is_empty() {
            request.have_revision = reader.u64("held revision")?;
        }
        if !reader.is_empty() {
            request.have_timestamp = reader.u64("held timestamp")?;
        }
        Ok(request)
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let metadata = &self.metadata[..self.metadata.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&(metadata.len() as u16).to_be_bytes());
        out.extend_from_slice(metadata);
        out.extend_from_slice(&self.have_revision.to_be_bytes());
        out.extend_from_slice(&self.have_timestamp.to_be_bytes());
    }
}

/// Body of the OK that acknowledges a NETWORK_CONFIG. Its verb in reply is ECHO's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct NetworkConfigAcknowledgement {
    pub network: NetworkId,
    pub update_id: u64,
}

impl NetworkConfigAcknowledgement {
    /// Reads the body, which follows [`super::InReply`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("acknowledged network")?;
        Ok(Self {
            network,
            update_id: reader.u64("acknowledged update")?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&self.update_id.to_be_bytes());
    }
}
