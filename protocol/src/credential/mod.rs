//! Credentials of network members (protocol specification 13).

use crate::rule::Rule;
use crate::{Address, DecodeError, Identity, NetworkId, Reader, SecretIdentity, Signature};

/// One statement of a membership certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Qualifier {
    /// 0 timestamp, 1 network, 2 member, 3..=6 identity hash.
    pub id: u64,
    /// The value.
    pub value: u64,
    /// Largest absolute difference to another member's value.
    pub max_delta: u64,
}

/// Certificate of membership (13.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateOfMembership {
    /// At most 8, by ascending id.
    pub qualifiers: Vec<Qualifier>,
    /// The controller.
    pub signer: Address,
    /// None if `signer` is zero.
    pub signature: Option<Signature>,
}

impl CertificateOfMembership {
    /// Issues a certificate as 1.14.1's controller does, signed.
    pub fn issue(
        _controller: &SecretIdentity,
        _network: NetworkId,
        _member: &Identity,
        _timestamp: u64,
        _max_delta: u64,
    ) -> Self {
        todo!()
    }
    /// Reads the wire form, which begins with 0x01.
    pub fn decode(_reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        todo!()
    }
    /// Appends the wire form.
    pub fn encode(&self, _out: &mut Vec<u8>) {
        todo!()
    }
    /// Bytes under the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// Value of a qualifier.
    pub fn value(&self, _id: u64) -> Option<u64> {
        todo!()
    }
    /// Timestamp (qualifier 0), 0 if absent.
    pub fn timestamp(&self) -> u64 {
        self.value(0).unwrap_or(0)
    }
    /// The network (qualifier 1), zero if absent.
    pub fn network(&self) -> NetworkId {
        NetworkId(self.value(1).unwrap_or(0))
    }
    /// The member (qualifier 2), zero if absent.
    pub fn issued_to(&self) -> Address {
        Address::from_u64(self.value(2).unwrap_or(0))
    }
    /// Does `other`, the certificate of the node `identity`, agree with this one, ours (13.2)? No signature is checked.
    pub fn agrees_with(&self, _other: &Self, _identity: &Identity) -> bool {
        todo!()
    }
    /// Signed by the network's controller, whose identity is given?
    pub fn verify(&self, _controller: &Identity) -> bool {
        todo!()
    }
}

/// One link of a capability's chain of custody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Custody {
    pub to: Address,
    pub from: Address,
    pub signature: Signature,
}

/// Capability: rules that a member may use (13.3).
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Capability {
    pub network: NetworkId,
    pub timestamp: u64,
    pub id: u32,
    pub rules: Vec<Rule>,
    pub max_custody_chain: u8,
    pub custody: Vec<Custody>,
}

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

/// Something that a member owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnedThing {
    /// 1 MAC, 2 IPv4, 3 IPv6.
    pub kind: u8,
    /// The address, zero padded.
    pub value: [u8; 16],
}

/// Certificate of ownership of addresses (13.5).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct CertificateOfOwnership {
    pub network: NetworkId,
    pub timestamp: u64,
    pub flags: u64,
    pub id: u32,
    pub things: Vec<OwnedThing>,
    pub issued_to: Address,
    pub signer: Address,
    pub signature: Signature,
}

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

/// Revocation flag: pass on to all members.
pub const REVOCATION_FAST_PROPAGATE: u64 = 1;

/// The shape shared by tags, capabilities, ownership certificates and revocations.
macro_rules! signed_credential {
    ($name:ident) => {
        impl $name {
            /// Reads the wire form.
            pub fn decode(_reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                todo!()
            }
            /// Appends the wire form.
            pub fn encode(&self, _out: &mut Vec<u8>) {
                todo!()
            }
            /// Bytes under the signature.
            pub fn signed_bytes(&self) -> Vec<u8> {
                todo!()
            }
            /// Signed by the network's controller, whose identity is given?
            pub fn verify(&self, _controller: &Identity) -> bool {
                todo!()
            }
        }
    };
}
signed_credential!(Tag);
signed_credential!(Capability);
signed_credential!(CertificateOfOwnership);
signed_credential!(Revocation);

impl Tag {
    /// Issues a signed tag.
    pub fn issue(
        _controller: &SecretIdentity,
        _network: NetworkId,
        _to: Address,
        _timestamp: u64,
        _id: u32,
        _value: u32,
    ) -> Self {
        todo!()
    }
}
impl Capability {
    /// Issues a signed capability with a chain of one.
    pub fn issue(
        _controller: &SecretIdentity,
        _network: NetworkId,
        _to: Address,
        _timestamp: u64,
        _id: u32,
        _rules: Vec<Rule>,
    ) -> Self {
        todo!()
    }
    /// The last holder in the chain of custody, zero if there is none.
    pub fn issued_to(&self) -> Address {
        self.custody.last().map_or(Address::NONE, |c| c.to)
    }
}
impl CertificateOfOwnership {
    /// Issues a signed certificate of ownership.
    pub fn issue(
        _controller: &SecretIdentity,
        _network: NetworkId,
        _to: Address,
        _timestamp: u64,
        _id: u32,
        _things: Vec<OwnedThing>,
    ) -> Self {
        todo!()
    }
}
impl Revocation {
    /// Issues a signed revocation.
    pub fn issue(
        _controller: &SecretIdentity,
        _network: NetworkId,
        _target: Address,
        _kind: CredentialKind,
        _id: u32,
        _credential_id: u32,
        _threshold: u64,
        _flags: u64,
    ) -> Self {
        todo!()
    }
}
