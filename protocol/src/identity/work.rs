//! The memory-hard function that derives an address from a public key (protocol specification 1.4).

use sha2::{Digest, Sha512};

use crate::Address;
use crate::crypto::salsa20::Salsa20;

/// 64-bit words of scratch memory: 2 MiB.
const WORDS: usize = 2_097_152 / 8;
/// The first digest byte of a valid identity is below this.
const THRESHOLD: u8 = 17;
/// Blocks of key stream made at a time.
const BATCH: usize = 64;

/// The scratch memory after the first pass. The two passes are apart so that each can be checked.
pub struct Scratch {
    /// Eight bytes each, in memory order when written little-endian.
    memory: Vec<u64>,
    digest: [u64; 8],
    stream: Salsa20<20>,
}

impl Scratch {
    /// Pass one: fills the memory with chained key stream.
    pub fn fill(public_key: &[u8; 64]) -> Self {
        let digest: [u8; 64] = Sha512::digest(public_key).into();
        let mut key = [0; 32];
        key.copy_from_slice(&digest[..32]);
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&digest[32..40]);
        let mut stream = Salsa20::new(&key, &nonce);

        let mut memory = vec![0; WORDS];
        let mut previous = [0u64; 8];
        let mut blocks = [0; BATCH * 64];
        for batch in memory.chunks_exact_mut(BATCH * 8) {
            stream.write(&mut blocks);
            for (words, block) in batch
                .as_chunks_mut::<8>()
                .0
                .iter_mut()
                .zip(blocks.as_chunks::<64>().0)
            {
                xor(&mut previous, &to_words(block));
                *words = previous;
            }
        }
        Self {
            memory,
            digest: to_words(&digest),
            stream,
        }
    }

    /// The memory's contents.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.memory
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    /// Pass two: swaps words between memory and digest at places that the memory names, and returns the final digest.
    pub fn mix(mut self) -> [u8; 64] {
        let mut blocks = [0; BATCH * 64];
        for first in (0..WORDS).step_by(2 * BATCH) {
            self.stream.write(&mut blocks);
            for (step, block) in blocks.as_chunks::<64>().0.iter().enumerate() {
                let at = first + 2 * step;
                // Both are read before the swap, which may change either; an earlier swap may have changed them too.
                let in_digest = self.memory[at].swap_bytes() as usize % 8;
                let in_memory = self.memory[at + 1].swap_bytes() as usize % WORDS;
                core::mem::swap(&mut self.memory[in_memory], &mut self.digest[in_digest]);
                xor(&mut self.digest, &to_words(block));
            }
        }
        let mut digest = [0; 64];
        for (bytes, word) in digest.as_chunks_mut::<8>().0.iter_mut().zip(self.digest) {
            *bytes = word.to_le_bytes();
        }
        digest
    }
}

/// Both passes: some milliseconds, 2 MiB.
pub fn digest(public_key: &[u8; 64]) -> [u8; 64] {
    Scratch::fill(public_key).mix()
}

/// The address that a final digest gives, or none if its keys make no valid identity.
pub fn address_of(digest: &[u8; 64]) -> Option<Address> {
    let [.., a, b, c, d, e] = *digest;
    let address = Address::from_bytes([a, b, c, d, e]);
    (digest[0] < THRESHOLD && !address.is_reserved()).then_some(address)
}

fn to_words(block: &[u8; 64]) -> [u64; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

fn xor(into: &mut [u64; 8], with: &[u64; 8]) {
    for (word, other) in into.iter_mut().zip(with) {
        *word ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_decides_over_the_address() {
        let mut digest = [0; 64];
        digest[59..].copy_from_slice(&[1, 2, 3, 4, 5]);
        digest[0] = 16;
        assert_eq!(
            address_of(&digest),
            Some(Address::from_bytes([1, 2, 3, 4, 5]))
        );
        digest[0] = 17;
        assert_eq!(address_of(&digest), None);
        digest[0] = 0;
        digest[59] = 0xff;
        assert_eq!(address_of(&digest), None);
    }
}
