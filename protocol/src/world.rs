//! Planets and moons: signed lists of roots (protocol specification 6).

use std::net::SocketAddr;

use rand::CryptoRng;

use crate::endpoint::{decode_endpoint, encode_endpoint};
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

/// Most roots of a world.
pub const MAX_ROOTS: usize = 4;
/// Most endpoints of a root.
pub const MAX_ENDPOINTS: usize = 32;

const DEFAULT_PLANET: &[u8] = include_bytes!("default_planet.bin");

impl World {
    /// The planet that 1.14.1 starts with: the addresses of public roots.
    pub fn default_planet() -> Self {
        Self::decode(&mut Reader::new(DEFAULT_PLANET)).expect("a constant that a test reads")
    }

    /// Reads one world; what follows is left in the reader. A null endpoint is passed over.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = match reader.u8("world type")? {
            0 => WorldKind::Null,
            1 => WorldKind::Planet,
            127 => WorldKind::Moon,
            _ => return Err(DecodeError::Invalid("world type")),
        };
        let mut world = Self {
            kind,
            id: reader.u64("world id")?,
            timestamp: reader.u64("world timestamp")?,
            updates_must_be_signed_by: reader.array("world key")?,
            signature: Signature(reader.array("world signature")?),
            roots: Vec::new(),
        };
        let roots = usize::from(reader.u8("number of roots")?);
        if roots > MAX_ROOTS {
            return Err(DecodeError::TooLarge("number of roots"));
        }
        for _ in 0..roots {
            world.roots.push(Root::decode(reader)?);
        }
        if kind == WorldKind::Moon {
            let length = reader.u16("length of the moon's dictionary")?;
            reader.skip(usize::from(length));
        }
        Ok(world)
    }

    /// Reads worlds that follow one another, as in OK(HELLO).
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut worlds = Vec::new();
        while !reader.is_empty() {
            worlds.push(Self::decode(&mut reader)?);
        }
        Ok(worlds)
    }

    /// The wire and file form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(Some(&self.signature), &mut out);
        out
    }

    /// Bytes under the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = vec![0x7f; 8];
        self.encode(None, &mut out);
        out.extend_from_slice(&[0xf7; 8]);
        out
    }

    fn encode(&self, signature: Option<&Signature>, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.updates_must_be_signed_by);
        if let Some(Signature(bytes)) = signature {
            out.extend_from_slice(bytes);
        }
        let roots = &self.roots[..self.roots.len().min(MAX_ROOTS)];
        out.push(roots.len() as u8);
        for root in roots {
            root.encode(out);
        }
        if self.kind == WorldKind::Moon {
            out.extend_from_slice(&[0, 0]);
        }
    }

    /// Creates and signs a world with a 64-byte combined secret key (as in moon.json's `signingKey_SECRET`).
    ///
    /// Only the first [`MAX_ROOTS`] roots, and of each the first [`MAX_ENDPOINTS`] endpoints, are written.
    pub fn sign(
        kind: WorldKind,
        id: u64,
        timestamp: u64,
        updates_must_be_signed_by: [u8; 64],
        roots: Vec<Root>,
        signing_secret: &[u8; 64],
    ) -> Self {
        let signature = Signature([0; 96]);
        let mut world = Self {
            kind,
            id,
            timestamp,
            updates_must_be_signed_by,
            signature,
            roots,
        };
        world.signature = key::sign(signing_secret, &world.signed_bytes());
        world
    }

    /// May `candidate` replace this world (6.2)?
    pub fn is_replaced_by(&self, candidate: &Self) -> bool {
        self.id == candidate.id
            && self.kind == candidate.kind
            && candidate.timestamp > self.timestamp
            && candidate.is_signed_by(&self.updates_must_be_signed_by)
    }

    /// Does the signature verify under a combined public key?
    pub fn is_signed_by(&self, public_key: &[u8; 64]) -> bool {
        key::verify(public_key, &self.signed_bytes(), &self.signature)
    }

    /// A fresh combined signing key pair (public, secret) for worlds.
    pub fn generate_signing_key(rng: &mut impl CryptoRng) -> ([u8; 64], [u8; 64]) {
        let mut secret = [0; 64];
        rng.fill_bytes(&mut secret);
        (Self::public_signing_key(&secret), secret)
    }

    /// The public key of a combined secret key: X25519, then Ed25519.
    pub fn public_signing_key(secret: &[u8; 64]) -> [u8; 64] {
        key::public_of(secret)
    }

    /// Convenience for tests and the lab: a planet or moon with one root, signed by the root's own identity keys.
    pub fn of_root(
        kind: WorldKind,
        id: u64,
        timestamp: u64,
        root: &SecretIdentity,
        endpoints: Vec<SocketAddr>,
    ) -> Self {
        let mut world = Self {
            kind,
            id,
            timestamp,
            updates_must_be_signed_by: *root.public().public_key(),
            signature: Signature([0; 96]),
            roots: vec![Root {
                identity: root.public().clone(),
                endpoints,
            }],
        };
        world.signature = root.sign(&world.signed_bytes());
        world
    }
}

impl Root {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let identity = Identity::decode(reader)?;
        let count = usize::from(reader.u8("number of endpoints")?);
        if count > MAX_ENDPOINTS {
            return Err(DecodeError::TooLarge("number of endpoints"));
        }
        let mut endpoints = Vec::new();
        for _ in 0..count {
            endpoints.extend(decode_endpoint(reader)?);
        }
        Ok(Self {
            identity,
            endpoints,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.identity.to_bytes());
        let endpoints = &self.endpoints[..self.endpoints.len().min(MAX_ENDPOINTS)];
        out.push(endpoints.len() as u8);
        for endpoint in endpoints {
            encode_endpoint(Some(*endpoint), out);
        }
    }
}

/// Combined keys that belong to no node: a world's signing keys have the layout of identity keys, but no address.
mod key {
    use ed25519_dalek::SigningKey;
    use x25519_dalek::{PublicKey, StaticSecret};

    use crate::{Identity, Reader, SecretIdentity, Signature};

    /// An address is part of no signature, so any valid one will do.
    const ADDRESS: &str = "0000000001";

    pub(super) fn public_of(secret: &[u8; 64]) -> [u8; 64] {
        let [agreement, signing] = halves(secret);
        let mut public = [0; 64];
        public[..32].copy_from_slice(PublicKey::from(&StaticSecret::from(agreement)).as_bytes());
        public[32..].copy_from_slice(SigningKey::from_bytes(&signing).verifying_key().as_bytes());
        public
    }

    fn halves(key: &[u8; 64]) -> [[u8; 32]; 2] {
        let mut halves = [[0; 32]; 2];
        halves[0].copy_from_slice(&key[..32]);
        halves[1].copy_from_slice(&key[32..]);
        halves
    }

    pub(super) fn sign(secret: &[u8; 64], message: &[u8]) -> Signature {
        let hexadecimal =
            |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let text = format!(
            "{ADDRESS}:0:{}:{}",
            hexadecimal(&public_of(secret)),
            hexadecimal(secret)
        );
        let signer: SecretIdentity = text.parse().expect("a well-formed text");
        signer.sign(message)
    }

    pub(super) fn verify(public: &[u8; 64], message: &[u8], signature: &Signature) -> bool {
        let mut bytes = vec![0, 0, 0, 0, 1, 0];
        bytes.extend_from_slice(public);
        bytes.push(0);
        Identity::decode(&mut Reader::new(&bytes))
            .is_ok_and(|signer| signer.verify(message, signature))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_default_planet_is_read_and_signed_by_itself() {
        let planet = World::default_planet();
        assert_eq!(planet.to_bytes(), DEFAULT_PLANET);
        assert_eq!(
            (planet.id, planet.timestamp),
            (149_604_618, 1_644_592_324_813)
        );
        let roots: Vec<_> = planet
            .roots
            .iter()
            .map(|r| r.identity.address().to_string())
            .collect();
        assert_eq!(
            roots,
            ["cafe9efeb9", "778cde7190", "62f865ae71", "cafe04eba9"]
        );
        assert!(planet.is_signed_by(&planet.updates_must_be_signed_by));
    }

    #[test]
    fn only_a_newer_world_by_the_right_key_replaces() {
        let mut rng = StdRng::seed_from_u64(1);
        let (public, secret) = World::generate_signing_key(&mut rng);
        let (other_public, other_secret) = World::generate_signing_key(&mut rng);
        let world = |id, timestamp, key, secret| {
            World::sign(WorldKind::Moon, id, timestamp, key, Vec::new(), secret)
        };
        let current = world(7, 100, public, &secret);
        assert_eq!(current.to_bytes().len(), 1 + 8 + 8 + 64 + 96 + 1 + 2);
        assert!(current.is_replaced_by(&world(7, 101, other_public, &secret)));
        assert!(!current.is_replaced_by(&world(7, 101, public, &other_secret)));
        assert!(!current.is_replaced_by(&world(7, 100, public, &secret)));
        assert!(!current.is_replaced_by(&world(8, 101, public, &secret)));
        let mut altered = world(7, 101, public, &secret);
        altered.timestamp += 1;
        assert!(!current.is_replaced_by(&altered));
    }
}
