//! AES-GMAC-SIV: the cipher of suite 3 without the packet around it (protocol specification 2.6).

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes256, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;

#[cfg(target_arch = "x86_64")]
use super::simd::vaes512::Vaes512;

/// Bytes of the encrypted IV and tag that accompany a message.
pub const TAG: usize = 16;

/// The longest associated data.
const MAX_ASSOCIATED: usize = 16;

/// Expanded keys: two AES-256 key schedules and the powers of the GMAC's hash key.
#[derive(Clone)]
pub struct AesGmacSiv(Kernel);

#[derive(Clone)]
enum Kernel {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Vaes512(Vaes512),
}

impl AesGmacSiv {
    /// `k0` authenticates, `k1` encrypts. Takes the fastest code that the processor runs.
    pub fn new(k0: &[u8; 32], k1: &[u8; 32]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = Vaes512::new(k0, k1) {
            return Self(Kernel::Vaes512(kernel));
        }
        Self(Kernel::Portable(Portable::new(k0, k1)))
    }

    /// Encrypts `data` in place and returns the opaque tag, which replaces `iv`. `associated` is authenticated, with
    /// zeros up to a block boundary. Panics if it is longer than 16 bytes.
    pub fn seal(&self, iv: [u8; 8], associated: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let (associated, blocks) = padded(associated);
        match &self.0 {
            Kernel::Portable(kernel) => kernel.seal(iv, associated, blocks, data),
            #[cfg(target_arch = "x86_64")]
            Kernel::Vaes512(kernel) => kernel.seal(iv, associated, blocks, data),
        }
    }

    /// As [`AesGmacSiv::seal`], with a tag whose first eight bytes, a packet's id on the wire, are an odd or even number
    /// as `odd` says: the IV may be one of those that follow `iv`, on average the second one.
    pub fn seal_as(&self, iv: [u8; 8], associated: &[u8], data: &mut [u8], odd: bool) -> [u8; TAG] {
        let (associated, blocks) = padded(associated);
        match &self.0 {
            Kernel::Portable(kernel) => kernel.seal_as(iv, associated, blocks, data, odd),
            #[cfg(target_arch = "x86_64")]
            Kernel::Vaes512(kernel) => kernel.seal_as(iv, associated, blocks, data, odd),
        }
    }

    /// Decrypts `data` in place and returns the IV that it was sealed with; none if it is not authentic, and then `data` is
    /// garbage. Panics as [`AesGmacSiv::seal`].
    #[must_use]
    pub fn open(&self, tag: &[u8; TAG], associated: &[u8], data: &mut [u8]) -> Option<[u8; 8]> {
        let (associated, blocks) = padded(associated);
        let [iv, expected, found] = match &self.0 {
            Kernel::Portable(kernel) => kernel.open(*tag, associated, blocks, data),
            #[cfg(target_arch = "x86_64")]
            Kernel::Vaes512(kernel) => kernel.open(*tag, associated, blocks, data),
        };
        bool::from(expected.ct_eq(&found)).then(|| iv.to_le_bytes())
    }

    /// The IV inside an opaque tag.
    pub fn recover_iv(&self, tag: &[u8; TAG]) -> [u8; 8] {
        let block = match &self.0 {
            Kernel::Portable(kernel) => kernel.decrypt(*tag),
            #[cfg(target_arch = "x86_64")]
            Kernel::Vaes512(kernel) => kernel.decrypt(*tag),
        };
        let [a, b, c, d, e, f, g, h, ..] = block;
        [a, b, c, d, e, f, g, h]
    }
}

/// The first eight bytes of a tag are an odd number, in the order of packet ids.
pub(super) fn is_odd(tag: &[u8; TAG]) -> bool {
    tag[7] & 1 == 1
}

/// The block of associated data, and how many blocks that is: none or one.
fn padded(associated: &[u8]) -> ([u8; 16], u64) {
    let mut block = [0; MAX_ASSOCIATED];
    block[..associated.len()].copy_from_slice(associated);
    (block, u64::from(!associated.is_empty()))
}

/// For any processor: the libraries' AES and GHASH, which take the common instructions where they are.
#[derive(Clone)]
struct Portable {
    gmac: Aes256Enc,
    /// Holds the hash key and an empty sum; cloned per message.
    hash: GHash,
    ctr: Aes256Enc,
    siv: Aes256,
}

impl Portable {
    fn new(k0: &[u8; 32], k1: &[u8; 32]) -> Self {
        let gmac = Aes256Enc::new(k0.into());
        let mut hash_key = [0; 16].into();
        gmac.encrypt_block(&mut hash_key);
        Self {
            gmac,
            hash: GHash::new(&hash_key),
            ctr: Aes256Enc::new(k1.into()),
            siv: Aes256::new(k1.into()),
        }
    }

    fn seal(&self, iv: [u8; 8], associated: [u8; 16], blocks: u64, data: &mut [u8]) -> [u8; TAG] {
        let sum = self.hash_all(associated, blocks, data);
        let tag = self.tag(iv, sum);
        self.apply_key_stream(tag, data);
        tag
    }

    fn seal_as(
        &self,
        iv: [u8; 8],
        associated: [u8; 16],
        blocks: u64,
        data: &mut [u8],
        odd: bool,
    ) -> [u8; TAG] {
        let sum = self.hash_all(associated, blocks, data);
        let mut iv = u64::from_le_bytes(iv);
        let tag = loop {
            let tag = self.tag(iv.to_le_bytes(), sum);
            if is_odd(&tag) == odd {
                break tag;
            }
            iv = iv.wrapping_add(1);
        };
        self.apply_key_stream(tag, data);
        tag
    }

    /// The opaque tag of a text with this hash.
    fn tag(&self, iv: [u8; 8], sum: u128) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag[..8].copy_from_slice(&iv);
        tag[8..].copy_from_slice(&self.fold(iv, sum).to_le_bytes());
        let mut block = tag.into();
        self.ctr.encrypt_block(&mut block);
        block.into()
    }

    /// The IV and the folded tag inside `tag`, and the folded tag of the text, as little-endian words.
    fn open(&self, tag: [u8; TAG], associated: [u8; 16], blocks: u64, data: &mut [u8]) -> [u64; 3] {
        self.apply_key_stream(tag, data);
        let [a, b, c, d, e, f, g, h, expected @ ..] = self.decrypt(tag);
        let iv = [a, b, c, d, e, f, g, h];
        let found = self.fold(iv, self.hash_all(associated, blocks, data));
        [u64::from_le_bytes(iv), u64::from_le_bytes(expected), found]
    }

    fn decrypt(&self, tag: [u8; TAG]) -> [u8; TAG] {
        let mut block = tag.into();
        self.siv.decrypt_block(&mut block);
        block.into()
    }

    /// Counter mode from the tag on, with its counter's top bit cleared.
    fn apply_key_stream(&self, tag: [u8; TAG], data: &mut [u8]) {
        let mut start = tag;
        start[12] &= 0x7f;
        CtrCore::<&Aes256Enc, Ctr32BE>::inner_iv_init(&self.ctr, &start.into())
            .apply_keystream_partial(data.into());
    }

    /// GHASH of the padded associated data, the plain text and their lengths.
    fn hash_all(&self, associated: [u8; 16], blocks: u64, plain: &[u8]) -> u128 {
        let mut hash = self.hash.clone();
        if blocks > 0 {
            hash.update(&[associated.into()]);
        }
        hash.update_padded(plain);
        // The padding of the associated data counts as data.
        let bits = 8 * (16 * blocks + plain.len() as u64);
        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&bits.to_be_bytes());
        hash.update(&[lengths.into()]);
        u128::from_le_bytes(hash.finalize().into())
    }

    /// The GMAC of a text with this hash, its halves folded together, as a little-endian word.
    fn fold(&self, iv: [u8; 8], sum: u128) -> u64 {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&iv);
        nonce[15] = 1;
        let mut mask = nonce.into();
        self.gmac.encrypt_block(&mut mask);
        let gmac = sum ^ u128::from_le_bytes(mask.into());
        (gmac >> 64) as u64 ^ gmac as u64
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn kernels_agree(
            k0: [u8; 32],
            k1: [u8; 32],
            iv: [u8; 8],
            associated: [u8; 16],
            blocks in 0u64..2,
            data in proptest::collection::vec(any::<u8>(), 0..1500),
        ) {
            let Some(vector) = Vaes512::new(&k0, &k1) else { return Ok(()) };
            let portable = Portable::new(&k0, &k1);
            let (mut ours, mut theirs) = (data.clone(), data.clone());
            let tag = vector.seal(iv, associated, blocks, &mut ours);
            prop_assert_eq!(tag, portable.seal(iv, associated, blocks, &mut theirs));
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(vector.decrypt(tag), portable.decrypt(tag));
            for odd in [false, true] {
                let (mut ours, mut theirs) = (data.clone(), data.clone());
                let tag = vector.seal_as(iv, associated, blocks, &mut ours, odd);
                prop_assert_eq!(is_odd(&tag), odd);
                prop_assert_eq!(tag, portable.seal_as(iv, associated, blocks, &mut theirs, odd));
                prop_assert_eq!(&ours, &theirs);
                let [_, expected, found] = vector.open(tag, associated, blocks, &mut ours);
                prop_assert_eq!(expected, found);
                prop_assert_eq!(&ours, &data);
            }
            let [recovered, expected, found] = vector.open(tag, associated, blocks, &mut ours);
            prop_assert_eq!(
                [recovered, expected, found],
                portable.open(tag, associated, blocks, &mut theirs)
            );
            prop_assert_eq!(expected, found);
            prop_assert_eq!(recovered.to_le_bytes(), iv);
            prop_assert_eq!(&ours, &data);
            prop_assert_eq!(&theirs, &data);
        }
    }

    #[test]
    fn kernels_agree_at_every_length() {
        let Some(vector) = Vaes512::new(&[3; 32], &[5; 32]) else {
            return;
        };
        let portable = Portable::new(&[3; 32], &[5; 32]);
        for length in 0..1100usize {
            let data: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let (mut ours, mut theirs) = (data.clone(), data);
            let iv = (length as u64).to_le_bytes();
            let tag = vector.seal(iv, [7; 16], 1, &mut ours);
            assert_eq!(tag, portable.seal(iv, [7; 16], 1, &mut theirs), "{length}");
            assert_eq!(ours, theirs, "{length}");
        }
    }

    #[test]
    fn the_counter_wraps_within_its_word() {
        let Some(vector) = Vaes512::new(&[3; 32], &[5; 32]) else {
            return;
        };
        let portable = Portable::new(&[3; 32], &[5; 32]);
        // The counter's top bit is cleared, so it wraps never; the carry through the lower bytes is what may go wrong.
        for low in [0x00ff_fffe_u32, 0x7fff_fff0, 0xffff_fff0, 0x0000_00f8] {
            let mut tag = [9; 16];
            tag[12..].copy_from_slice(&low.to_be_bytes());
            let (mut ours, mut theirs) = (vec![0; 1000], vec![0; 1000]);
            let found = vector.open(tag, [0; 16], 1, &mut ours);
            assert_eq!(found, portable.open(tag, [0; 16], 1, &mut theirs));
            assert_eq!(ours, theirs);
        }
    }
}
