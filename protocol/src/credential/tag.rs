//! Tags (protocol specification 13.4).

use super::{decode_signature, encode_signature, framed, signed_by_controller, skip_additional};
use crate::{Address, DecodeError, Identity, NetworkId, Reader, SecretIdentity, Signature};

/// Tag: a number that rules compare (13.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Tag {
    pub network: NetworkId,
    pub timestamp: u64,
    pub id: u32,
    pub value: u32,
    pub issued_to: Address,
    pub signer: Address,
    pub signature: Signature,
}

impl Tag {
    /// Issues a signed tag.
    pub fn issue(
        controller: &SecretIdentity,
        network: NetworkId,
        to: Address,
        timestamp: u64,
        id: u32,
        value: u32,
    ) -> Self {
        let signer = controller.address();
        let signature = Signature([0; 96]);
        let mut tag = Self {
            network,
            timestamp,
            id,
            value,
            issued_to: to,
            signer,
            signature,
        };
        tag.signature = controller.sign(&tag.signed_bytes());
        tag
    }

    /// Reads the wire form.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = Self {
            network: reader.network_id("tag's network")?,
            timestamp: reader.u64("tag's timestamp")?,
            id: reader.u32("tag id")?,
            value: reader.u32("tag value")?,
            issued_to: reader.address("tag's holder")?,
            signer: reader.address("tag's signer")?,
            signature: decode_signature(reader)?,
        };
        skip_additional(reader)?;
        Ok(tag)
    }

    /// Appends the wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_body(out);
        encode_signature(&self.signature, out);
        out.extend_from_slice(&[0, 0]);
    }

    /// Bytes under the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        framed(|out| {
            self.encode_body(out);
            out.extend_from_slice(&[0, 0]);
        })
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.value.to_be_bytes());
        out.extend_from_slice(&self.issued_to.to_bytes());
        out.extend_from_slice(&self.signer.to_bytes());
    }

    /// Signed by the network's controller, whose identity is given?
    pub fn verify(&self, controller: &Identity) -> bool {
        let bytes = self.signed_bytes();
        signed_by_controller(
            self.network,
            self.signer,
            controller,
            &bytes,
            &self.signature,
        )
    }
}
