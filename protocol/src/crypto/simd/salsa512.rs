//! Salsa20 in 512-bit registers: sixteen blocks at once, a word of all of them per register.
//!
//! The compiler vectorises the rounds of the plain code as well, but turns its transposition from words to blocks into
//! scattered stores, which cost more than the rounds.

use core::arch::x86_64::*;

use super::super::salsa20::BLOCK;

/// True if [`apply`] may be called.
pub(in crate::crypto) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// XORs key stream from the state's counter on over `data`, and advances the counter.
#[target_feature(enable = "avx512f,avx512bw")]
pub(in crate::crypto) fn apply<const ROUNDS: usize>(state: &mut [u32; 16], data: &mut [u8]) {
    for chunk in data.chunks_mut(16 * BLOCK) {
        let stream = blocks::<ROUNDS>(state);
        for (block, stream) in chunk.chunks_mut(BLOCK).zip(stream) {
            let mask = u64::MAX >> (BLOCK - block.len());
            // SAFETY: the mask, of as many bits as the block has bytes (1 to 64), keeps both accesses within it.
            unsafe {
                let text = _mm512_maskz_loadu_epi8(mask, block.as_ptr().cast());
                _mm512_mask_storeu_epi8(
                    block.as_mut_ptr().cast(),
                    mask,
                    _mm512_xor_si512(text, stream),
                );
            }
        }
        let counter = counter(state).wrapping_add(chunk.len().div_ceil(BLOCK) as u64);
        state[8] = counter as u32;
        state[9] = (counter >> 32) as u32;
    }
}

fn counter(state: &[u32; 16]) -> u64 {
    u64::from(state[8]) | u64::from(state[9]) << 32
}

/// Sixteen blocks, one per register.
#[inline]
#[target_feature(enable = "avx512f")]
fn blocks<const ROUNDS: usize>(state: &[u32; 16]) -> [__m512i; 16] {
    let mut start = [_mm512_setzero_si512(); 16];
    for (register, word) in start.iter_mut().zip(state) {
        *register = _mm512_set1_epi32(word.cast_signed());
    }
    // A lane per counter, with the carry into the high word.
    let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let low = _mm512_add_epi32(start[8], lanes);
    let carried = _mm512_cmplt_epu32_mask(low, start[8]);
    start[9] = _mm512_mask_add_epi32(start[9], carried, start[9], _mm512_set1_epi32(1));
    start[8] = low;

    let mut x = start;
    macro_rules! step {
        ($to:literal, $a:literal, $b:literal, $bits:literal) => {
            let sum = _mm512_add_epi32(x[$a], x[$b]);
            x[$to] = _mm512_xor_si512(x[$to], _mm512_rol_epi32::<$bits>(sum));
        };
    }
    macro_rules! quarter {
        ($a:literal, $b:literal, $c:literal, $d:literal) => {
            step!($b, $a, $d, 7);
            step!($c, $b, $a, 9);
            step!($d, $c, $b, 13);
            step!($a, $d, $c, 18);
        };
    }
    for _ in 0..ROUNDS / 2 {
        quarter!(0, 4, 8, 12);
        quarter!(5, 9, 13, 1);
        quarter!(10, 14, 2, 6);
        quarter!(15, 3, 7, 11);
        quarter!(0, 1, 2, 3);
        quarter!(5, 6, 7, 4);
        quarter!(10, 11, 8, 9);
        quarter!(15, 12, 13, 14);
    }
    for (register, start) in x.iter_mut().zip(&start) {
        *register = _mm512_add_epi32(*register, *start);
    }
    transpose(&x)
}

/// Rows become columns, of 16 times 16 words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &[__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    let mut pairs = [zero; 16];
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut quads = [zero; 16];
    for i in 0..4 {
        quads[4 * i] = _mm512_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
        quads[4 * i + 1] = _mm512_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
        quads[4 * i + 2] = _mm512_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        quads[4 * i + 3] = _mm512_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
    }
    let mut columns = [zero; 16];
    for j in 0..4 {
        let even = _mm512_shuffle_i32x4::<0x88>(quads[j], quads[4 + j]);
        let even_below = _mm512_shuffle_i32x4::<0x88>(quads[8 + j], quads[12 + j]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(quads[j], quads[4 + j]);
        let odd_below = _mm512_shuffle_i32x4::<0xdd>(quads[8 + j], quads[12 + j]);
        columns[j] = _mm512_shuffle_i32x4::<0x88>(even, even_below);
        columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd, odd_below);
        columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even, even_below);
        columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_below);
    }
    columns
}
