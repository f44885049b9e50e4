//! Identities: text and binary form, key agreement, signatures, proof of work (protocol specification 1).

use core::fmt;
use core::str::FromStr;

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

impl Identity {
    /// Length of the binary form without a private key, as it stands on the wire.
    pub const WIRE_LENGTH: usize = 71;

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
        todo!()
    }

    /// Reads the binary form; a private key, if present, is skipped.
    pub fn decode(_reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        todo!()
    }

    /// Checks the proof of work: some milliseconds of work, 2 MiB of scratch memory.
    pub fn validate(&self) -> bool {
        todo!()
    }

    /// SHA-384 over address and public key, as membership certificates carry it (specification 1.6).
    pub fn hash(&self) -> [u8; 48] {
        todo!()
    }

    /// Checks a signature that the holder of this identity is said to have made over `message`.
    pub fn verify(&self, _message: &[u8], _signature: &Signature) -> bool {
        todo!()
    }
}

impl SecretIdentity {
    /// Searches a key pair whose address derivation succeeds: around 15 tries, well under a second.
    pub fn generate(_rng: &mut impl CryptoRng) -> Self {
        todo!()
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
        todo!()
    }

    /// The permanent key shared with `other`.
    pub fn agree(&self, _other: &Identity) -> SharedKey {
        todo!()
    }

    /// Signs `message`.
    pub fn sign(&self, _message: &[u8]) -> Signature {
        todo!()
    }

    /// The text form with private key: what `identity.secret` holds. Handle with care.
    pub fn to_secret_string(&self) -> String {
        todo!()
    }
}

impl fmt::Display for Identity {
    /// The public text form: `address:0:<128 hex digits>`.
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.address)
    }
}

impl FromStr for Identity {
    type Err = DecodeError;

    /// The text form; a private key, if present, is ignored.
    fn from_str(_text: &str) -> Result<Self, DecodeError> {
        todo!()
    }
}

impl fmt::Debug for SecretIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretIdentity({}, …)", self.public.address)
    }
}

impl FromStr for SecretIdentity {
    type Err = DecodeError;

    /// The text form; it must hold a private key.
    fn from_str(_text: &str) -> Result<Self, DecodeError> {
        todo!()
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(…)")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}
