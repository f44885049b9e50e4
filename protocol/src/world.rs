//! Planets and moons: signed lists of roots (protocol specification 6).

use std::net::SocketAddr;

use crate::{DecodeError, Identity, Reader, SecretIdentity, Signature};

/// Kind of world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
#[repr(u8)]
pub enum WorldKind {
    Null = 0,
    Planet = 1,
    Moon = 127,
}

/// A root: an identity and where it can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// Who.
    pub identity: Identity,
    /// Where; at most 32.
    pub endpoints: Vec<SocketAddr>,
}

/// A planet or moon.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct World {
    pub kind: WorldKind,
    pub id: u64,
    /// Revision, ms since the epoch.
    pub timestamp: u64,
    pub updates_must_be_signed_by: [u8; 64],
    pub signature: Signature,
    /// At most 4.
    pub roots: Vec<Root>,
}

impl World {
    /// The planet that 1.14.1 starts with: the addresses of public roots.
    pub fn default_planet() -> Self {
        todo!()
    }
    /// Reads one world; what follows is left in the reader.
    pub fn decode(_reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The wire and file form.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// Bytes under the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// Creates and signs a world with a 64-byte combined secret key (as in moon.json's `signingKey_SECRET`).
    pub fn sign(
        _kind: WorldKind,
        _id: u64,
        _timestamp: u64,
        _updates_must_be_signed_by: [u8; 64],
        _roots: Vec<Root>,
        _signing_secret: &[u8; 64],
    ) -> Self {
        todo!()
    }
    /// May `candidate` replace this world (6.2)?
    pub fn is_replaced_by(&self, _candidate: &Self) -> bool {
        todo!()
    }
    /// A fresh combined signing key pair (public, secret) for worlds.
    pub fn generate_signing_key(_rng: &mut impl rand::CryptoRng) -> ([u8; 64], [u8; 64]) {
        todo!()
    }
    /// Convenience for tests and the lab: a planet or moon with one root, signed by the root's own identity keys.
    pub fn of_root(
        _kind: WorldKind,
        _id: u64,
        _timestamp: u64,
        _root: &SecretIdentity,
        _endpoints: Vec<SocketAddr>,
    ) -> Self {
        todo!()
    }
}
