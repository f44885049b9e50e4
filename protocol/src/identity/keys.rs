//! What identities do with their keys: agreement, signatures, hash (protocol specification 1.6 to 1.8).

use ed25519_dalek::{Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Identity, SecretIdentity, SharedKey, Signature};

impl Identity {
    /// SHA-384 over address and public key, as membership certificates carry it (specification 1.6).
    pub fn hash(&self) -> [u8; 48] {
        Sha384::new()
            .chain_update(self.address.to_bytes())
            .chain_update(self.public_key)
            .finalize()
            .into()
    }

    /// Checks a signature that the holder of this identity is said to have made over `message`.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let (ed25519, digest) = signature.0.split_at(64);
        let expected = message_digest(message);
        if !bool::from(digest.ct_eq(&expected)) {
            return false;
        }
        let [_, verifying_key] = halves(&self.public_key);
        let Ok(key) = VerifyingKey::from_bytes(&verifying_key) else {
            return false;
        };
        let Ok(mut ed25519) = <[u8; 64]>::try_from(ed25519) else {
            return false;
        };
        reduce_scalar(&mut ed25519);
        key.verify(&expected, &ed25519_dalek::Signature::from_bytes(&ed25519))
            .is_ok()
    }
}

impl SecretIdentity {
    /// The permanent key shared with `other`.
    pub fn agree(&self, other: &Identity) -> SharedKey {
        let [scalar, _] = halves(&self.private_key).map(Zeroizing::new);
        let [point, _] = halves(&other.public_key);
        // Low-order points give zeros and are not refused, as in the reference.
        let raw = Zeroizing::new(x25519_dalek::x25519(*scalar, point));
        let mut key = SharedKey([0; 48]);
        key.0.copy_from_slice(&Sha512::digest(*raw)[..48]);
        key
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let [_, seed] = halves(&self.private_key).map(Zeroizing::new);
        let digest = message_digest(message);
        let mut signature = [0; 96];
        signature[..64].copy_from_slice(&SigningKey::from_bytes(&seed).sign(&digest).to_bytes());
        signature[64..].copy_from_slice(&digest);
        Signature(signature)
    }
}

/// X25519 and Ed25519 public keys of an X25519 scalar and an Ed25519 seed.
pub(super) fn public_key(private_key: &[u8; 64]) -> [u8; 64] {
    let [scalar, seed] = halves(private_key).map(Zeroizing::new);
    let agreement = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(*scalar));
    let mut key = [0; 64];
    key[..32].copy_from_slice(agreement.as_bytes());
    key[32..].copy_from_slice(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
    key
}

fn halves(key: &[u8; 64]) -> [[u8; 32]; 2] {
    let mut halves = [[0; 32]; 2];
    halves[0].copy_from_slice(&key[..32]);
    halves[1].copy_from_slice(&key[32..]);
    halves
}

fn message_digest(message: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(&Sha512::digest(message)[..32]);
    digest
}

/// The group's order L, little-endian words.
const ORDER: [u64; 4] = [
    0x5812_631a_5cf5_d3ed,
    0x14de_f9de_a2f7_9cd6,
    0,
    0x1000_0000_0000_0000,
];

/// Reduces the second half of a signature modulo L. The reference accepts S + L (specification 1.8), the library does
/// not; as S is public, this need not be constant-time.
fn reduce_scalar(signature: &mut [u8; 64]) {
    let mut words = [0u64; 4];
    for (word, bytes) in words.iter_mut().zip(signature[32..].as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    while words.iter().rev().ge(ORDER.iter().rev()) {
        let mut borrow = false;
        for (word, order) in words.iter_mut().zip(ORDER) {
            let (difference, first) = word.overflowing_sub(order);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            *word = difference;
            borrow = first || second;
        }
    }
    for (word, bytes) in words.iter().zip(signature[32..].as_chunks_mut::<8>().0) {
        *bytes = word.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_scalar(words: [u64; 4]) -> [u8; 64] {
        let mut signature = [0; 64];
        for (bytes, word) in signature[32..].chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        signature
    }

    #[test]
    fn scalars_are_reduced_modulo_the_order() {
        for (input, expected) in [
            ([1, 2, 3, 4], [1, 2, 3, 4]),
            (ORDER, [0; 4]),
            ([ORDER[0] + 5, ORDER[1], 0, ORDER[3]], [5, 0, 0, 0]),
            (
                [ORDER[0] - 1, ORDER[1], 0, ORDER[3]],
                [ORDER[0] - 1, ORDER[1], 0, ORDER[3]],
            ),
        ] {
            let mut signature = with_scalar(input);
            reduce_scalar(&mut signature);
            assert_eq!(signature, with_scalar(expected));
        }
        let mut largest = with_scalar([u64::MAX; 4]);
        reduce_scalar(&mut largest);
        assert!(largest[63] < 0x10);
    }
}
