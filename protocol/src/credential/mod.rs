//! Credentials of network members (protocol specification 13).

mod capability;
mod membership;
mod ownership;
mod revocation;
mod tag;

use crate::{Address, DecodeError, Identity, NetworkId, Reader, Signature};

pub use capability::{Capability, ChainCheck, Custody, MAX_CAPABILITY_RULES, MAX_CUSTODY_CHAIN};
pub use membership::{CertificateOfMembership, MAX_QUALIFIERS, Qualifier};
pub use ownership::{CertificateOfOwnership, MAX_OWNED_THINGS, OwnedThing};
pub use revocation::{REVOCATION_FAST_PROPAGATE, Revocation};
pub use tag::Tag;

/// Type numbers of credentials, as revocations name them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
#[repr(u8)]
pub enum CredentialKind {
    Membership = 1,
    Capability = 2,
    Tag = 3,
    Ownership = 4,
    Revocation = 6,
}

impl CredentialKind {
    /// From the wire.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Membership),
            2 => Some(Self::Capability),
            3 => Some(Self::Tag),
            4 => Some(Self::Ownership),
            6 => Some(Self::Revocation),
            _ => None,
        }
    }
}

/// What surrounds the body of every signed credential except membership certificates (13.1).
const SIGNED_FRAME: [u8; 8] = [0x7f; 8];

/// The bytes under a signature: `body` between two rows of 0x7f.
fn framed(body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = SIGNED_FRAME.to_vec();
    body(&mut out);
    out.extend_from_slice(&SIGNED_FRAME);
    out
}

const SIGNATURE_TYPE: u8 = 1;
const SIGNATURE_LENGTH: u16 = 96;

fn encode_signature(signature: &Signature, out: &mut Vec<u8>) {
    out.push(SIGNATURE_TYPE);
    out.extend_from_slice(&SIGNATURE_LENGTH.to_be_bytes());
    out.extend_from_slice(&signature.0);
}

fn decode_signature(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    if reader.u8("signature type")? != SIGNATURE_TYPE {
        return Err(DecodeError::Invalid("signature type"));
    }
    if reader.u16("signature length")? != SIGNATURE_LENGTH {
        return Err(DecodeError::Invalid("signature length"));
    }
    reader.array("signature").map(Signature)
}

/// Reads and forgets what a later version might append to a credential.
fn skip_additional(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let length = reader.u16("length of additional fields")?;
    reader
        .bytes(usize::from(length), "additional fields")
        .map(drop)
}

/// A credential counts if the network's controller, and nobody else, signed it.
fn signed_by_controller(
    network: NetworkId,
    signer: Address,
    controller: &Identity,
    signed_bytes: &[u8],
    signature: &Signature,
) -> bool {
    signer == network.controller()
        && signer == controller.address()
        && controller.verify(signed_bytes, signature)
}
