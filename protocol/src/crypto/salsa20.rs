//! Salsa20 (protocol specification 1.2): 256-bit key, 64-bit nonce, block counter from zero.
//!
//! Several blocks are computed at once, one per vector lane, in plain arrays that the compiler turns into vector
//! instructions; the same code is compiled twice, with and without AVX2. Processors with AVX-512 have a kernel of their
//! own. The choice is made at run time.

#[cfg(target_arch = "x86_64")]
use super::simd::salsa512;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Bytes per block of key stream.
pub const BLOCK: usize = 64;

/// A key stream of `ROUNDS` rounds. Every call starts at a block boundary: the rest of a block that was asked for in
/// part is discarded.
#[derive(Clone)]
pub struct Salsa20<const ROUNDS: usize> {
    state: [u32; 16],
}

impl<const ROUNDS: usize> Salsa20<ROUNDS> {
    /// At block 0.
    pub fn new(key: &[u8; 32], nonce: &[u8; 8]) -> Self {
        let k = |i: usize| {
            u32::from_le_bytes([key[4 * i], key[4 * i + 1], key[4 * i + 2], key[4 * i + 3]])
        };
        let [a, b, c, d, e, f, g, h] = *nonce;
        #[rustfmt::skip]
        let state = [
            CONSTANTS[0], k(0), k(1), k(2),
            k(3), CONSTANTS[1], u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]),
            0, 0, CONSTANTS[2], k(4),
            k(5), k(6), k(7), CONSTANTS[3],
        ];
        Self { state }
    }

    /// Writes key stream.
    pub fn write(&mut self, out: &mut [u8]) {
        out.fill(0);
        self.apply(out);
    }

    /// XORs key stream over `data`.
    pub fn apply(&mut self, data: &mut [u8]) {
        if data.len() <= BLOCK {
            return apply_lanes::<ROUNDS, 1>(&mut self.state, data);
        }
        #[cfg(target_arch = "x86_64")]
        {
            if salsa512::is_available() {
                // SAFETY: the processor has the instructions that the function is compiled for.
                return unsafe { salsa512::apply::<ROUNDS>(&mut self.state, data) };
            }
            if data.len() > 4 * BLOCK && std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: as above.
                return unsafe { apply_avx2::<ROUNDS>(&mut self.state, data) };
            }
        }
        apply_portable::<ROUNDS>(&mut self.state, data);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn apply_avx2<const ROUNDS: usize>(state: &mut [u32; 16], data: &mut [u8]) {
    apply_lanes::<ROUNDS, 8>(state, data);
}

fn apply_portable<const ROUNDS: usize>(state: &mut [u32; 16], data: &mut [u8]) {
    apply_lanes::<ROUNDS, 4>(state, data);
}

/// Inlined into each instruction set's function, so that it is compiled for that set.
#[inline(always)]
fn apply_lanes<const ROUNDS: usize, const LANES: usize>(state: &mut [u32; 16], data: &mut [u8]) {
    for chunk in data.chunks_mut(LANES * BLOCK) {
        let words = blocks::<ROUNDS, LANES>(state);
        let used = chunk.len().div_ceil(BLOCK);
        for (lane, block) in chunk.chunks_mut(BLOCK).enumerate() {
            let mut key_stream = [0; BLOCK];
            for (bytes, word) in key_stream.as_chunks_mut::<4>().0.iter_mut().zip(&words) {
                *bytes = word[lane].to_le_bytes();
            }
            for (byte, key) in block.iter_mut().zip(key_stream) {
                *byte ^= key;
            }
        }
        let counter = counter(state).wrapping_add(used as u64);
        state[8] = counter as u32;
        state[9] = (counter >> 32) as u32;
    }
}

fn counter(state: &[u32; 16]) -> u64 {
    u64::from(state[8]) | u64::from(state[9]) << 32
}

/// `LANES` blocks from the state's counter on: word by word, a lane per block.
#[inline(always)]
fn blocks<const ROUNDS: usize, const LANES: usize>(state: &[u32; 16]) -> [[u32; LANES]; 16] {
    let mut start = [[0; LANES]; 16];
    for (lanes, word) in start.iter_mut().zip(state) {
        *lanes = [*word; LANES];
    }
    let mut lane_counter = counter(state);
    let [low, high] = &mut start[8..10] else {
        unreachable!("two of sixteen")
    };
    for (low, high) in low.iter_mut().zip(high) {
        *low = lane_counter as u32;
        *high = (lane_counter >> 32) as u32;
        lane_counter = lane_counter.wrapping_add(1);
    }
    let mut x = start;
    for _ in 0..ROUNDS / 2 {
        quarter(&mut x, 0, 4, 8, 12);
        quarter(&mut x, 5, 9, 13, 1);
        quarter(&mut x, 10, 14, 2, 6);
        quarter(&mut x, 15, 3, 7, 11);
        quarter(&mut x, 0, 1, 2, 3);
        quarter(&mut x, 5, 6, 7, 4);
        quarter(&mut x, 10, 11, 8, 9);
        quarter(&mut x, 15, 12, 13, 14);
    }
    for (lanes, start) in x.iter_mut().zip(&start) {
        for (word, start) in lanes.iter_mut().zip(start) {
            *word = word.wrapping_add(*start);
        }
    }
    x
}

#[inline(always)]
fn quarter<const LANES: usize>(x: &mut [[u32; LANES]; 16], a: usize, b: usize, c: usize, d: usize) {
    step(x, b, a, d, 7);
    step(x, c, b, a, 9);
    step(x, d, c, b, 13);
    step(x, a, d, c, 18);
}

#[inline(always)]
fn step<const LANES: usize>(x: &mut [[u32; LANES]; 16], to: usize, a: usize, b: usize, bits: u32) {
    let (a, b) = (x[a], x[b]);
    for ((word, a), b) in x[to].iter_mut().zip(a).zip(b) {
        *word ^= a.wrapping_add(b).rotate_left(bits);
    }
}

#[cfg(test)]
mod tests {
    use ::salsa20::cipher::{KeyIvInit, StreamCipher};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_the_library(key: [u8; 32], nonce: [u8; 8], length in 0usize..3000) {
            let mut ours = vec![0x5a; length];
            let mut theirs = ours.clone();
            Salsa20::<12>::new(&key, &nonce).apply(&mut ours);
            ::salsa20::Salsa12::new(&key.into(), &nonce.into()).apply_keystream(&mut theirs);
            prop_assert_eq!(&ours, &theirs);
            Salsa20::<20>::new(&key, &nonce).apply(&mut ours);
            ::salsa20::Salsa20::new(&key.into(), &nonce.into()).apply_keystream(&mut theirs);
            prop_assert_eq!(&ours, &theirs);
        }

        #[test]
        fn all_widths_agree(key: [u8; 32], nonce: [u8; 8], length in 0usize..3000) {
            let stream = Salsa20::<12>::new(&key, &nonce);
            let mut widest = vec![0; length];
            stream.clone().apply(&mut widest);
            let mut portable = vec![0; length];
            let mut state = stream.state;
            apply_portable::<12>(&mut state, &mut portable);
            prop_assert_eq!(&widest, &portable);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                let mut eight = vec![0; length];
                // SAFETY: the instructions were found just now.
                unsafe { apply_avx2::<12>(&mut stream.state.clone(), &mut eight) };
                prop_assert_eq!(&eight, &portable);
            }
        }
    }

    #[test]
    fn a_partly_used_block_is_discarded_and_the_counter_carries() {
        let mut whole = [0; 6 * BLOCK];
        Salsa20::<20>::new(&[7; 32], &[9; 8]).write(&mut whole);
        let mut stream = Salsa20::<20>::new(&[7; 32], &[9; 8]);
        let mut part = [0; 70];
        stream.write(&mut part);
        assert_eq!(part, whole[..70]);
        stream.write(&mut part);
        assert_eq!(part, whole[128..198]);

        let mut stream = Salsa20::<20>::new(&[7; 32], &[9; 8]);
        stream.state[8] = u32::MAX;
        let mut blocks = [0; 2 * BLOCK];
        stream.write(&mut blocks);
        assert_eq!((stream.state[8], stream.state[9]), (1, 1));
        let mut second = [0; BLOCK];
        let mut stream = Salsa20::<20>::new(&[7; 32], &[9; 8]);
        stream.state[9] = 1;
        stream.write(&mut second);
        assert_eq!(second, blocks[BLOCK..]);
    }
}
