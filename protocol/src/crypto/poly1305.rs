//! Poly1305 (RFC 8439 2.5) in 64-bit limbs of 44, 44 and 42 bits.
//!
//! Every packet has its own key, so set-up counts as much as speed: this form has none.

const MASK44: u64 = (1 << 44) - 1;
const MASK42: u64 = (1 << 42) - 1;

/// The 16-byte tag of `message` under a one-time key.
pub fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let (r, s) = key.split_at(16);
    let mut hash = Hash::new(low_high(r));
    let (blocks, rest) = message.as_chunks::<16>();
    for block in blocks {
        hash.update(low_high(block), 1 << 40);
    }
    if !rest.is_empty() {
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()] = 1;
        hash.update(low_high(&last), 0);
    }
    let (low, high) = low_high(s);
    hash.finish()
        .wrapping_add(u128::from(high) << 64 | u128::from(low))
        .to_le_bytes()
}

/// Two little-endian words of 16 bytes.
#[inline(always)]
fn low_high(bytes: &[u8]) -> (u64, u64) {
    let mut words = [0; 2];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    (words[0], words[1])
}

/// The polynomial's value so far, and the point at which it is evaluated.
struct Hash {
    r: [u64; 3],
    /// `r[1]` and `r[2]` times 20: what a product that overflows 2^130 comes back as (5, and 4 for the limbs' sizes).
    folded: [u64; 2],
    h: [u64; 3],
}

impl Hash {
    fn new((low, high): (u64, u64)) -> Self {
        // Limbs of the clamped key half.
        let r = [
            low & 0xffc_0fff_ffff,
            (low >> 44 | high << 20) & 0xfff_ffc0_ffff,
            high >> 24 & 0x00f_ffff_fc0f,
        ];
        Self {
            r,
            folded: [r[1] * 20, r[2] * 20],
            h: [0; 3],
        }
    }

    /// Adds a block, with `top` as its bit above the 128th, and multiplies by r; limbs stay below 2^45.
    #[inline(always)]
    fn update(&mut self, (low, high): (u64, u64), top: u64) {
        let [r0, r1, r2] = self.r;
        let [f1, f2] = self.folded;
        let h0 = self.h[0] + (low & MASK44);
        let h1 = self.h[1] + ((low >> 44 | high << 20) & MASK44);
        let h2 = self.h[2] + (high >> 24 & MASK42 | top);

        let d0 = wide(h0, r0) + wide(h1, f2) + wide(h2, f1);
        let d1 = wide(h0, r1) + wide(h1, r0) + wide(h2, f2) + (d0 >> 44);
        let d2 = wide(h0, r2) + wide(h1, r1) + wide(h2, r0) + (d1 >> 44);
        let h0 = (d0 as u64 & MASK44) + (d2 >> 42) as u64 * 5;
        self.h = [
            h0 & MASK44,
            (d1 as u64 & MASK44) + (h0 >> 44),
            d2 as u64 & MASK42,
        ];
    }

    /// The value modulo 2^130 - 5, its low 128 bits.
    fn finish(self) -> u128 {
        let [mut h0, mut h1, mut h2] = self.h;
        // Two rounds of carrying bring all limbs into range.
        for _ in 0..2 {
            h2 += h1 >> 44;
            h1 &= MASK44;
            h0 += (h2 >> 42) * 5;
            h2 &= MASK42;
            h1 += h0 >> 44;
            h0 &= MASK44;
        }
        // The value minus the modulus; taken, without a branch, if it is not negative.
        let g0 = h0 + 5;
        let g1 = h1 + (g0 >> 44);
        let g2 = (h2 + (g1 >> 44)).wrapping_sub(1 << 42);
        let take = (g2 >> 63).wrapping_sub(1);
        let select = |h: u64, g: u64| u128::from(h & !take | g & take);
        let (h0, h1, h2) = (
            select(h0, g0 & MASK44),
            select(h1, g1 & MASK44),
            select(h2, g2),
        );
        h0 | h1 << 44 | h2 << 88
    }
}

#[inline(always)]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[cfg(test)]
mod tests {
    use ::poly1305::Poly1305;
    use ::poly1305::universal_hash::KeyInit;
    use proptest::prelude::*;

    use super::*;

    fn library(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        Poly1305::new(key.into()).compute_unpadded(message).into()
    }

    proptest! {
        #[test]
        fn equals_the_library(key: [u8; 32], message in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(tag(&key, &message), library(&key, &message));
        }
    }

    #[test]
    fn equals_the_library_where_carries_run_far() {
        for key_byte in [0, 1, 2, 0x0f, 0x7f, 0xfb, 0xff] {
            for message_byte in [0, 1, 0x7f, 0xfa, 0xfb, 0xfc, 0xff] {
                for length in 0..200 {
                    let mut key = [key_byte; 32];
                    let message = vec![message_byte; length];
                    assert_eq!(tag(&key, &message), library(&key, &message));
                    // r = 1 or 2 brings sums close to the modulus.
                    key[..16].fill(0);
                    key[0] = key_byte & 3;
                    assert_eq!(tag(&key, &message), library(&key, &message));
                }
            }
        }
    }
}
