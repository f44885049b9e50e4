//! Identities: text and binary form, key agreement, signatures, proof of work (protocol specification 1).

mod keys;
mod text;
pub mod work;

use core::fmt;

use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Address, DecodeError, Reader};

/// The public half of an identity: an address and the keys that it was derived from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    address: Address,
    public_key: [u8; 64],
}

/// An identity with its private keys.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretIdentity {
    #[zeroize(skip)]
    public: Identity,
    private_key: [u8; 64],
}

/// The permanent 48-byte key of a pair of identities (specification 1.7).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SharedKey(pub [u8; 48]);

/// An Ed25519 signature over a message's digest, followed by the digest (specification 1.8).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 96]);

/// The only type of identity that V1 knows, as a byte of the binary form.
const TYPE: u8 = 0;

impl Identity {
    /// Length of the binary form without a private key, as it stands on the wire.
    pub const WIRE_LENGTH: usize = 71;

    /// Puts an identity together without any check: [`Identity::validate`] tells if the parts belong together.
    pub const fn from_parts(address: Address, public_key: [u8; 64]) -> Self {
        Self {
            address,
            public_key,
        }
    }

    /// The node address.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// X25519 public key, then Ed25519 public key.
    pub const fn public_key(&self) -> &[u8; 64] {
        &self.public_key
    }

    /// The binary form, public part only.
    pub fn to_bytes(&self) -> [u8; Self::WIRE_LENGTH] {
        let mut bytes = [0; Self::WIRE_LENGTH];
        bytes[..5].copy_from_slice(&self.address.to_bytes());
        bytes[5] = TYPE;
        bytes[6..70].copy_from_slice(&self.public_key);
        bytes
    }

    /// Reads the binary form; a private key, if present, is skipped. Reserved addresses are not refused here, as in
    /// the reference: they never pass [`Identity::validate`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let address = reader.address("identity address")?;
        if reader.u8("identity type")? != TYPE {
            return Err(DecodeError::Invalid("identity type"));
        }
        let public_key = reader.array("identity public key")?;
        match reader.u8("identity private key length")? {
            0 => {}
            64 => {
                reader.bytes(64, "identity private key")?;
            }
            _ => return Err(DecodeError::Invalid("identity private key length")),
        }
        Ok(Self {
            address,
            public_key,
        })
    }

    /// Checks the proof of work: some milliseconds of work, 2 MiB of scratch memory.
    pub fn validate(&self) -> bool {
        !self.address.is_reserved()
            && work::address_of(&work::digest(&self.public_key)) == Some(self.address)
    }
}

impl SecretIdentity {
    /// Puts an identity together from its public half and its private keys (X25519 scalar, then Ed25519 seed) without
    /// any check: see [`SecretIdentity::is_consistent`] and [`Identity::validate`].
    pub const fn from_parts(public: Identity, private_key: [u8; 64]) -> Self {
        Self {
            public,
            private_key,
        }
    }

    /// Searches a key pair whose address derivation succeeds: around 15 tries, well under a second.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut private_key = [0; 64];
        rng.fill_bytes(&mut private_key);
        loop {
            // The signing half may stay; any search is fine, and this one saves a scalar multiplication per try.
            rng.fill_bytes(&mut private_key[..32]);
            let public_key = keys::public_key(&private_key);
            if let Some(address) = work::address_of(&work::digest(&public_key)) {
                return Self {
                    public: Identity {
                        address,
                        public_key,
                    },
                    private_key,
                };
            }
        }
    }

    /// The public half.
    pub const fn public(&self) -> &Identity {
        &self.public
    }

    /// The node address.
    pub const fn address(&self) -> Address {
        self.public.address
    }

    /// True if the private keys belong to the public ones.
    pub fn is_consistent(&self) -> bool {
        keys::public_key(&self.private_key) == self.public.public_key
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.address)
    }
}

impl fmt::Debug for SecretIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretIdentity({}, …)", self.public.address)
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(…)")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Signature({:02x}{:02x}{:02x}{:02x}…)",
            self.0[0], self.0[1], self.0[2], self.0[3]
        )
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_generated_identity_is_valid_and_its_halves_belong_together() {
        let secret = SecretIdentity::generate(&mut StdRng::seed_from_u64(1));
        assert!(secret.public().validate());
        assert!(secret.is_consistent());
        let text: SecretIdentity = secret.to_secret_string().parse().unwrap();
        assert_eq!(text.public(), secret.public());
        assert_eq!(text.private_key, secret.private_key);
    }

    #[test]
    fn the_binary_form_is_read_back_and_never_holds_the_private_key() {
        let secret = SecretIdentity::generate(&mut StdRng::seed_from_u64(2));
        let bytes = secret.public().to_bytes();
        assert_eq!(bytes[70], 0);
        assert_eq!(
            Identity::decode(&mut Reader::new(&bytes)).as_ref(),
            Ok(secret.public())
        );
        for length in 0..bytes.len() {
            assert!(Identity::decode(&mut Reader::new(&bytes[..length])).is_err());
        }
    }
}
