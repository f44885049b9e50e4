//! AES-GMAC-SIV with 512-bit AES and carry-less multiplication (VAES, VPCLMULQDQ, AVX-512).
//!
//! Four blocks stand in a register. GHASH is computed in the bit order of POLYVAL (RFC 8452 appendix A): blocks are
//! byte-reversed on loading, the hash key is multiplied by x once, and sixteen blocks share a reduction. Functions that
//! name the instructions in `target_feature` are safe to call from one another; the public methods below may call them
//! because a value exists only after [`Vaes512::new`] has found the instructions.

use core::arch::x86_64::*;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::super::aes_gmac_siv::is_odd;

/// An AES-256 key schedule.
type RoundKeys = [__m128i; 15];

/// Expanded keys.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(in crate::crypto) struct Vaes512 {
    gmac: RoundKeys,
    ctr: RoundKeys,
    /// Of the equivalent inverse cipher, for the one block that is ever decrypted.
    ctr_inverse: RoundKeys,
    /// The hash key to the 16th, 15th, … first power.
    powers: [__m128i; 16],
}

impl Vaes512 {
    /// Expands the keys; none if the processor lacks an instruction.
    pub(in crate::crypto) fn new(k0: &[u8; 32], k1: &[u8; 32]) -> Option<Self> {
        let available = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq");
        // SAFETY: the instructions were found just now.
        available.then(|| unsafe { Self::expand(k0, k1) })
    }

    /// As [`super::super::aes_gmac_siv::AesGmacSiv::seal`].
    pub(in crate::crypto) fn seal(
        &self,
        iv: [u8; 8],
        associated: [u8; 16],
        blocks: u64,
        data: &mut [u8],
    ) -> [u8; 16] {
        // SAFETY: `new` found the instructions.
        unsafe { self.seal_vector(u64::from_le_bytes(iv), associated, blocks, data) }
    }

    /// As [`super::super::aes_gmac_siv::AesGmacSiv::seal_as`].
    pub(in crate::crypto) fn seal_as(
        &self,
        iv: [u8; 8],
        associated: [u8; 16],
        blocks: u64,
        data: &mut [u8],
        odd: bool,
    ) -> [u8; 16] {
        // SAFETY: `new` found the instructions.
        unsafe { self.seal_vector_as(u64::from_le_bytes(iv), associated, blocks, data, odd) }
    }

    /// Decrypts `data`; returns the IV and the folded tag found inside `tag`, and the folded tag that the text has.
    pub(in crate::crypto) fn open(
        &self,
        tag: [u8; 16],
        associated: [u8; 16],
        blocks: u64,
        data: &mut [u8],
    ) -> [u64; 3] {
        // SAFETY: `new` found the instructions.
        unsafe { self.open_vector(tag, associated, blocks, data) }
    }

    /// Decrypts the block that a tag is.
    pub(in crate::crypto) fn decrypt(&self, tag: [u8; 16]) -> [u8; 16] {
        // SAFETY: `new` found the instructions.
        to_bytes(unsafe { decrypt(&self.ctr_inverse, from_bytes(tag)) })
    }

    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn expand(k0: &[u8; 32], k1: &[u8; 32]) -> Self {
        let (gmac, ctr) = (round_keys(k0), round_keys(k1));
        let mut ctr_inverse = ctr;
        for (key, forward) in ctr_inverse.iter_mut().zip(ctr.iter().rev()) {
            *key = _mm_aesimc_si128(*forward);
        }
        (ctr_inverse[0], ctr_inverse[14]) = (ctr[14], ctr[0]);

        let hash_key = u128::from_be_bytes(to_bytes(encrypt(&gmac, _mm_setzero_si128())));
        // Times x in the field, so that products need no shift.
        let carry = if hash_key >> 127 == 1 {
            0xc200_0000_0000_0000_0000_0000_0000_0001
        } else {
            0
        };
        let first = from_bytes((hash_key << 1 ^ carry).to_le_bytes());
        let mut powers = [first; 16];
        for index in (0..15).rev() {
            powers[index] = multiply(powers[index + 1], first);
        }
        Self {
            gmac,
            ctr,
            ctr_inverse,
            powers,
        }
    }

    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn seal_vector(&self, iv: u64, associated: [u8; 16], blocks: u64, data: &mut [u8]) -> [u8; 16] {
        let folded = self.folded_gmac(iv, associated, blocks, data);
        let tag = encrypt(
            &self.ctr,
            _mm_set_epi64x(folded.cast_signed(), iv.cast_signed()),
        );
        self.apply_key_stream(tag, data);
        to_bytes(tag)
    }

    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn seal_vector_as(
        &self,
        mut iv: u64,
        associated: [u8; 16],
        blocks: u64,
        data: &mut [u8],
        odd: bool,
    ) -> [u8; 16] {
        let sum = self.hash_all(associated, blocks, data);
        let tag = loop {
            let folded = fold(sum, self.mask(iv));
            let tag = encrypt(
                &self.ctr,
                _mm_set_epi64x(folded.cast_signed(), iv.cast_signed()),
            );
            if is_odd(&to_bytes(tag)) == odd {
                break tag;
            }
            iv = iv.wrapping_add(1);
        };
        self.apply_key_stream(tag, data);
        to_bytes(tag)
    }

    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn open_vector(
        &self,
        tag: [u8; 16],
        associated: [u8; 16],
        blocks: u64,
        data: &mut [u8],
    ) -> [u64; 3] {
        let tag = from_bytes(tag);
        self.apply_key_stream(tag, data);
        let block = decrypt(&self.ctr_inverse, tag);
        let iv = _mm_cvtsi128_si64(block).cast_unsigned();
        let expected = _mm_extract_epi64(block, 1).cast_unsigned();
        [iv, expected, self.folded_gmac(iv, associated, blocks, data)]
    }

    /// The halves of the GMAC, XORed, as a little-endian word. `blocks` of associated data, 0 or 1, are hashed first.
    #[inline]
    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn folded_gmac(&self, iv: u64, associated: [u8; 16], blocks: u64, data: &[u8]) -> u64 {
        let mask = self.mask(iv);
        fold(self.hash_all(associated, blocks, data), mask)
    }

    /// What the IV contributes to the GMAC.
    #[inline]
    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn mask(&self, iv: u64) -> __m128i {
        encrypt(&self.gmac, _mm_set_epi64x(1 << 56, iv.cast_signed()))
    }

    /// GHASH of the associated data, the text and their lengths.
    #[inline]
    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn hash_all(&self, associated: [u8; 16], blocks: u64, data: &[u8]) -> __m128i {
        let mut sum = _mm_setzero_si128();
        if blocks > 0 {
            sum = multiply(reverse(from_bytes(associated)), self.powers[15]);
        }
        sum = self.hash(sum, data);
        let bits = 8 * (16 * blocks + data.len() as u64);
        multiply(
            _mm_xor_si128(sum, _mm_set_epi64x(bits.cast_signed(), 0)),
            self.powers[15],
        )
    }

    /// GHASH of `data`, padded with zeros, going on from `sum`.
    #[inline]
    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn hash(&self, mut sum: __m128i, data: &[u8]) -> __m128i {
        for group in data.chunks(256) {
            // A short last group takes the lower powers only.
            let power = 16 - group.len().div_ceil(16);
            let mut product = Product::zero();
            let mut carry_in = _mm512_zextsi128_si512(sum);
            for (index, chunk) in group.chunks(64).enumerate() {
                let text = _mm512_xor_si512(reverse_512(load(chunk)), carry_in);
                carry_in = _mm512_setzero_si512();
                product.add(text, load_powers(&self.powers[power + 4 * index..]));
            }
            sum = product.reduce();
        }
        sum
    }

    /// Counter mode from `tag` on, with its counter's top bit cleared.
    #[inline]
    #[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
    fn apply_key_stream(&self, tag: __m128i, data: &mut [u8]) {
        let start = _mm_and_si128(
            tag,
            _mm_set_epi64x(0xffff_ff7f_ffff_ffffu64.cast_signed(), -1),
        );
        let mut keys = [_mm512_setzero_si512(); 15];
        for (wide, key) in keys.iter_mut().zip(&self.ctr) {
            *wide = _mm512_broadcast_i32x4(*key);
        }
        // Byte-reversed, the counter is the lowest word of each block.
        let mut counter = _mm512_add_epi32(
            reverse_512(_mm512_broadcast_i32x4(start)),
            _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0),
        );
        let (groups, rest) = data.as_chunks_mut::<512>();
        for group in groups {
            counter = xor_key_stream::<8>(&keys, counter, group);
        }
        let (four, rest) = rest.split_at_mut(if rest.len() > 192 {
            rest.len().min(256)
        } else {
            0
        });
        if !four.is_empty() {
            counter = xor_key_stream::<4>(&keys, counter, four);
        }
        for group in rest.chunks_mut(128) {
            counter = xor_key_stream::<2>(&keys, counter, group);
        }
    }
}

/// The GMAC, its halves XORed, of a GHASH and the IV's mask.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
fn fold(sum: __m128i, mask: __m128i) -> u64 {
    let gmac = _mm_xor_si128(reverse(sum), mask);
    _mm_cvtsi128_si64(_mm_xor_si128(gmac, _mm_shuffle_epi32::<0x4e>(gmac))).cast_unsigned()
}

/// XORs `N` registers of key stream over up to 64 N bytes; returns the next counters.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,sse4.1,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq")]
fn xor_key_stream<const N: usize>(
    keys: &[__m512i; 15],
    mut counter: __m512i,
    data: &mut [u8],
) -> __m512i {
    let four = _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4);
    let mut streams = [_mm512_setzero_si512(); N];
    for stream in &mut streams {
        *stream = _mm512_xor_si512(reverse_512(counter), keys[0]);
        counter = _mm512_add_epi32(counter, four);
    }
    for key in &keys[1..14] {
        for stream in &mut streams {
            *stream = _mm512_aesenc_epi128(*stream, *key);
        }
    }
    for (stream, chunk) in streams.iter().zip(data.chunks_mut(64)) {
        let text = _mm512_xor_si512(load(chunk), _mm512_aesenclast_epi128(*stream, keys[14]));
        store(chunk, text);
    }
    counter
}

/// Up to 64 bytes, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(chunk: &[u8]) -> __m512i {
    // SAFETY: the mask keeps the access within the slice.
    unsafe { _mm512_maskz_loadu_epi8(mask(chunk.len()), chunk.as_ptr().cast()) }
}

/// As many bytes as `chunk` takes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(chunk: &mut [u8], value: __m512i) {
    // SAFETY: the mask keeps the access within the slice.
    unsafe { _mm512_mask_storeu_epi8(chunk.as_mut_ptr().cast(), mask(chunk.len()), value) }
}

/// A bit for each of the first `length` bytes of a register.
#[inline(always)]
fn mask(length: usize) -> __mmask64 {
    match length {
        0 => 0,
        1..64 => u64::MAX >> (64 - length),
        _ => u64::MAX,
    }
}

/// Four powers, or as many as are left, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_powers(powers: &[__m128i]) -> __m512i {
    let length = powers.len().min(4) * 16;
    // SAFETY: the mask keeps the access within the slice, which may be read as bytes.
    unsafe { _mm512_maskz_loadu_epi8(mask(length), powers.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn reverse_512(value: __m512i) -> __m512i {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_shuffle_epi8(value, _mm512_broadcast_i32x4(order))
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn reverse(value: __m128i) -> __m128i {
    _mm_shuffle_epi8(
        value,
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    )
}

/// The sum of unreduced products, four of them side by side: low, middle and high 128 bits.
struct Product {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Product {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self {
            low: zero,
            middle: zero,
            high: zero,
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn add(&mut self, a: __m512i, b: __m512i) {
        self.low = _mm512_xor_si512(self.low, _mm512_clmulepi64_epi128::<0x00>(a, b));
        self.high = _mm512_xor_si512(self.high, _mm512_clmulepi64_epi128::<0x11>(a, b));
        let (one, other) = (
            _mm512_clmulepi64_epi128::<0x01>(a, b),
            _mm512_clmulepi64_epi128::<0x10>(a, b),
        );
        self.middle = _mm512_ternarylogic_epi64::<0x96>(self.middle, one, other);
    }

    #[inline]
    #[target_feature(enable = "avx512f,pclmulqdq,sse4.1")]
    fn reduce(self) -> __m128i {
        reduce(
            add_lanes(self.low),
            add_lanes(self.middle),
            add_lanes(self.high),
        )
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_lanes(value: __m512i) -> __m128i {
    let half = _mm256_xor_si256(
        _mm512_castsi512_si256(value),
        _mm512_extracti64x4_epi64::<1>(value),
    );
    _mm_xor_si128(
        _mm256_castsi256_si128(half),
        _mm256_extracti128_si256::<1>(half),
    )
}

/// The product of two field elements.
#[inline]
#[target_feature(enable = "pclmulqdq,sse4.1")]
fn multiply(a: __m128i, b: __m128i) -> __m128i {
    let middle = _mm_xor_si128(
        _mm_clmulepi64_si128::<0x01>(a, b),
        _mm_clmulepi64_si128::<0x10>(a, b),
    );
    reduce(
        _mm_clmulepi64_si128::<0x00>(a, b),
        middle,
        _mm_clmulepi64_si128::<0x11>(a, b),
    )
}

/// Montgomery reduction of a 256-bit product modulo x^128 + x^127 + x^126 + x^121 + 1.
#[inline]
#[target_feature(enable = "pclmulqdq,sse4.1")]
fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> __m128i {
    let low = _mm_xor_si128(low, _mm_slli_si128::<8>(middle));
    let high = _mm_xor_si128(high, _mm_srli_si128::<8>(middle));
    let polynomial = _mm_set_epi64x(0xc200_0000_0000_0000u64.cast_signed(), 1);
    let once = _mm_xor_si128(
        _mm_shuffle_epi32::<0x4e>(low),
        _mm_clmulepi64_si128::<0x10>(low, polynomial),
    );
    let twice = _mm_xor_si128(
        _mm_shuffle_epi32::<0x4e>(once),
        _mm_clmulepi64_si128::<0x10>(once, polynomial),
    );
    _mm_xor_si128(high, twice)
}

#[inline]
#[target_feature(enable = "aes")]
fn encrypt(keys: &RoundKeys, block: __m128i) -> __m128i {
    let mut block = _mm_xor_si128(block, keys[0]);
    for key in &keys[1..14] {
        block = _mm_aesenc_si128(block, *key);
    }
    _mm_aesenclast_si128(block, keys[14])
}

/// With keys of the equivalent inverse cipher (FIPS 197 5.3.5).
#[inline]
#[target_feature(enable = "aes")]
fn decrypt(keys: &RoundKeys, block: __m128i) -> __m128i {
    let mut block = _mm_xor_si128(block, keys[0]);
    for key in &keys[1..14] {
        block = _mm_aesdec_si128(block, *key);
    }
    _mm_aesdeclast_si128(block, keys[14])
}

/// The key schedule (FIPS 197 5.2).
#[target_feature(enable = "aes")]
fn round_keys(key: &[u8; 32]) -> RoundKeys {
    let mut keys = [_mm_setzero_si128(); 15];
    let (first, second) = key.split_at(16);
    for (round, half) in [first, second].into_iter().enumerate() {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(half);
        keys[round] = from_bytes(bytes);
    }
    macro_rules! rounds {
        ($even:literal, $constant:literal) => {
            let assist = _mm_aeskeygenassist_si128::<$constant>(keys[$even - 1]);
            keys[$even] = next_key(keys[$even - 2], _mm_shuffle_epi32::<0xff>(assist));
        };
        ($even:literal, $constant:literal, $odd:literal) => {
            rounds!($even, $constant);
            let assist = _mm_aeskeygenassist_si128::<0>(keys[$even]);
            keys[$odd] = next_key(keys[$odd - 2], _mm_shuffle_epi32::<0xaa>(assist));
        };
    }
    rounds!(2, 0x01, 3);
    rounds!(4, 0x02, 5);
    rounds!(6, 0x04, 7);
    rounds!(8, 0x08, 9);
    rounds!(10, 0x10, 11);
    rounds!(12, 0x20, 13);
    rounds!(14, 0x40);
    keys
}

#[inline]
#[target_feature(enable = "sse2")]
fn next_key(mut key: __m128i, assist: __m128i) -> __m128i {
    let mut shifted = key;
    for _ in 0..3 {
        shifted = _mm_slli_si128::<4>(shifted);
        key = _mm_xor_si128(key, shifted);
    }
    _mm_xor_si128(key, assist)
}

#[inline(always)]
fn from_bytes(bytes: [u8; 16]) -> __m128i {
    // SAFETY: both are 16 bytes without padding, and any bits are valid.
    unsafe { core::mem::transmute(bytes) }
}

#[inline(always)]
fn to_bytes(value: __m128i) -> [u8; 16] {
    // SAFETY: as above.
    unsafe { core::mem::transmute(value) }
}
