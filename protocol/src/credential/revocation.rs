//! Revocations (protocol specification 13.6).

use super::{
    CredentialKind, decode_signature, encode_signature, framed, signed_by_controller,
    skip_additional,
};
use crate::{Address, DecodeError, Identity, NetworkId, Reader, SecretIdentity, Signature};

/// Revocation flag: pass on to all members.
pub const REVOCATION_FAST_PROPAGATE: u64 = 1;

/// Revocation of a credential (13.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Revocation {
    pub id: u32,
    pub network: NetworkId,
    pub credential_id: u32,
    pub threshold: u64,
    pub flags: u64,
    pub target: Address,
    pub signer: Address,
    /// Raw type byte; see [`CredentialKind`].
    pub kind: u8,
    pub signature: Signature,
}

impl Revocation {
    /// Issues a signed revocation.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is a field of the credential"
    )]
    pub fn issue(
        controller: &SecretIdentity,
        network: NetworkId,
        target: Address,
        kind: CredentialKind,
        id: u32,
        credential_id: u32,
        threshold: u64,
        flags: u64,
    ) -> Self {
        let mut revocation = Self {
            id,
            network,
            credential_id,
            threshold,
            flags,
            target,
            signer: controller.address(),
            kind: kind as u8,
            signature: Signature([0; 96]),
        };
        revocation.signature = controller.sign(&revocation.signed_bytes());
        revocation
    }

    /// To be passed on to all members?
    pub const fn is_fast_propagating(&self) -> bool {
        self.flags & REVOCATION_FAST_PROPAGATE != 0
    }

    /// Reads the wire form. Its two reserved words are ignored, and taken as zero by the signature.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u32("reserved word")?;
        let id = reader.u32("revocation id")?;
        let network = reader.network_id("revocation's network")?;
        reader.u32("reserved word")?;
        let revocation = Self {
            id,
            network,
            credential_id: reader.u32("revoked credential's id")?,
            threshold: reader.u64("revocation threshold")?,
            flags: reader.u64("revocation's flags")?,
            target: reader.address("revocation's target")?,
            signer: reader.address("revocation's signer")?,
            kind: reader.u8("revoked credential's type")?,
            signature: decode_signature(reader)?,
        };
        skip_additional(reader)?;
        Ok(revocation)
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
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.credential_id.to_be_bytes());
        out.extend_from_slice(&self.threshold.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(&self.target.to_bytes());
        out.extend_from_slice(&self.signer.to_bytes());
        out.push(self.kind);
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
