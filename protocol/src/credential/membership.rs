//! Certificates of membership (protocol specification 13.2).

use crate::{Address, DecodeError, Identity, NetworkId, Reader, SecretIdentity, Signature};

/// Most qualifiers of a certificate.
pub const MAX_QUALIFIERS: usize = 8;

const WIRE_VERSION: u8 = 1;
const TIMESTAMP: u64 = 0;
const NETWORK: u64 = 1;
const ISSUED_TO: u64 = 2;
const IDENTITY_HASH: std::ops::Range<u64> = 3..7;

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
        controller: &SecretIdentity,
        network: NetworkId,
        member: &Identity,
        timestamp: u64,
        max_delta: u64,
    ) -> Self {
        let mut qualifiers = vec![
            Qualifier {
                id: TIMESTAMP,
                value: timestamp,
                max_delta,
            },
            Qualifier {
                id: NETWORK,
                value: network.0,
                max_delta: 0,
            },
            Qualifier {
                id: ISSUED_TO,
                value: member.address().to_u64(),
                max_delta: u64::MAX,
            },
        ];
        let hash = IDENTITY_HASH.zip(identity_hash(member));
        qualifiers.extend(hash.map(|(id, value)| Qualifier {
            id,
            value,
            max_delta: u64::MAX,
        }));
        let mut certificate = Self {
            qualifiers,
            signer: controller.address(),
            signature: None,
        };
        certificate.signature = Some(controller.sign(&certificate.signed_bytes()));
        certificate
    }

    /// Reads the wire form, which begins with 0x01.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u8("certificate version")? != WIRE_VERSION {
            return Err(DecodeError::Invalid("certificate version"));
        }
        let count = usize::from(reader.u16("number of qualifiers")?);
        if count > MAX_QUALIFIERS {
            return Err(DecodeError::TooLarge("number of qualifiers"));
        }
        let mut qualifiers = Vec::with_capacity(count);
        let mut last = 0;
        for _ in 0..count {
            let id = reader.u64("qualifier id")?;
            if id < last {
                return Err(DecodeError::Invalid("order of qualifiers"));
            }
            last = id;
            let value = reader.u64("qualifier value")?;
            let max_delta = reader.u64("qualifier delta")?;
            qualifiers.push(Qualifier {
                id,
                value,
                max_delta,
            });
        }
        let signer = reader.address("signer")?;
        let signature = if signer == Address::NONE {
            None
        } else {
            Some(Signature(reader.array("signature")?))
        };
        Ok(Self {
            qualifiers,
            signer,
            signature,
        })
    }

    /// Appends the wire form. Qualifiers beyond [`MAX_QUALIFIERS`] are not written.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let qualifiers = self.signed_bytes();
        out.push(WIRE_VERSION);
        out.extend_from_slice(&((qualifiers.len() / 24) as u16).to_be_bytes());
        out.extend_from_slice(&qualifiers);
        out.extend_from_slice(&self.signer.to_bytes());
        if self.signer != Address::NONE {
            out.extend_from_slice(&self.signature.map_or([0; 96], |signature| signature.0));
        }
    }

    /// Bytes under the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let qualifiers = self.qualifiers.iter().take(MAX_QUALIFIERS);
        qualifiers
            .flat_map(|q| [q.id, q.value, q.max_delta])
            .flat_map(u64::to_be_bytes)
            .collect()
    }

    /// Value of a qualifier.
    pub fn value(&self, id: u64) -> Option<u64> {
        self.qualifiers.iter().find(|q| q.id == id).map(|q| q.value)
    }

    /// Timestamp (qualifier 0), 0 if absent.
    pub fn timestamp(&self) -> u64 {
        self.value(TIMESTAMP).unwrap_or(0)
    }

    /// The network (qualifier 1), zero if absent.
    pub fn network(&self) -> NetworkId {
        NetworkId(self.value(NETWORK).unwrap_or(0))
    }

    /// The member (qualifier 2), zero if absent.
    pub fn issued_to(&self) -> Address {
        Address::from_u64(self.value(ISSUED_TO).unwrap_or(0))
    }

    /// Does `other`, the certificate of the node `identity`, agree with this one, ours (13.2)? No signature is checked.
    pub fn agrees_with(&self, other: &Self, identity: &Identity) -> bool {
        if self.qualifiers.is_empty() || other.qualifiers.is_empty() {
            return false;
        }
        let within = self.qualifiers.iter().all(|mine| {
            other
                .value(mine.id)
                .is_some_and(|theirs| theirs.abs_diff(mine.value) <= mine.max_delta)
        });
        if !within {
            return false;
        }
        // Their hash is compared with the node itself: the deltas of these qualifiers allow any value.
        let has_hash = self
            .qualifiers
            .iter()
            .any(|mine| IDENTITY_HASH.contains(&mine.id));
        !has_hash
            || IDENTITY_HASH
                .zip(identity_hash(identity))
                .all(|(id, value)| other.value(id) == Some(value))
    }

    /// Signed by the network's controller, whose identity is given?
    pub fn verify(&self, controller: &Identity) -> bool {
        !self.qualifiers.is_empty()
            && self.signer == self.network().controller()
            && self.signer == controller.address()
            && self
                .signature
                .is_some_and(|s| controller.verify(&self.signed_bytes(), &s))
    }
}

/// The identity hash's first 32 bytes, as the four numbers that certificates hold.
fn identity_hash(identity: &Identity) -> impl Iterator<Item = u64> {
    let hash = identity.hash();
    (0..4).map(move |i| {
        hash[8 * i..8 * i + 8]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_certificates_end_after_the_signer() {
        let certificate = CertificateOfMembership {
            qualifiers: vec![Qualifier {
                id: 1,
                value: 2,
                max_delta: 3,
            }],
            signer: Address::NONE,
            signature: None,
        };
        let mut bytes = Vec::new();
        certificate.encode(&mut bytes);
        assert_eq!(bytes.len(), 1 + 2 + 24 + 5);
        let mut reader = Reader::new(&bytes);
        assert_eq!(
            CertificateOfMembership::decode(&mut reader),
            Ok(certificate)
        );
        assert!(reader.is_empty());
    }
}
