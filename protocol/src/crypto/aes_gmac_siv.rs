//! AES-GMAC-SIV: the cipher of suite 3 without the packet around it (protocol specification 2.6).

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes256, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;

/// Bytes of the encrypted IV and tag that accompany a message.
pub const TAG: usize = 16;

/// Expanded keys: two AES-256 key schedules and the powers of the GMAC's hash key.
#[derive(Clone)]
pub struct AesGmacSiv {
    gmac: Aes256Enc,
    /// Holds the hash key and an empty sum; cloned per message.
    hash: GHash,
    ctr: Aes256Enc,
    siv: Aes256,
}

impl AesGmacSiv {
    /// `k0` authenticates, `k1` encrypts.
    pub fn new(k0: &[u8; 32], k1: &[u8; 32]) -> Self {
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

    /// Encrypts `data` in place and returns the opaque tag, which replaces `iv`. `associated` is authenticated, with
    /// zeros up to a block boundary; at most 16 bytes.
    pub fn seal(&self, iv: [u8; 8], associated: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag[..8].copy_from_slice(&iv);
        tag[8..].copy_from_slice(&self.folded_gmac(iv, associated, data));
        let mut block = tag.into();
        self.siv.encrypt_block(&mut block);
        self.apply_key_stream(&block.0, data);
        block.into()
    }

    /// Decrypts `data` in place; false if it is not authentic, and then `data` is garbage.
    #[must_use]
    pub fn open(&self, tag: &[u8; TAG], associated: &[u8], data: &mut [u8]) -> bool {
        self.apply_key_stream(tag, data);
        let mut block = (*tag).into();
        self.siv.decrypt_block(&mut block);
        let [a, b, c, d, e, f, g, h, expected @ ..] = block.0;
        self.folded_gmac([a, b, c, d, e, f, g, h], associated, data)
            .ct_eq(&expected)
            .into()
    }

    /// The IV inside an opaque tag.
    pub fn recover_iv(&self, tag: &[u8; TAG]) -> [u8; 8] {
        let mut block = (*tag).into();
        self.siv.decrypt_block(&mut block);
        let [a, b, c, d, e, f, g, h, ..] = block.0;
        [a, b, c, d, e, f, g, h]
    }

    /// Counter mode from the tag on, with its counter's top bit cleared.
    fn apply_key_stream(&self, tag: &[u8; TAG], data: &mut [u8]) {
        let mut start = *tag;
        start[12] &= 0x7f;
        CtrCore::<&Aes256Enc, Ctr32BE>::inner_iv_init(&self.ctr, &start.into())
            .apply_keystream_partial(data.into());
    }

    /// GMAC over the padded associated data and the plain text, its halves folded together.
    fn folded_gmac(&self, iv: [u8; 8], associated: &[u8], plain: &[u8]) -> [u8; 8] {
        let mut hash = self.hash.clone();
        hash.update_padded(associated);
        hash.update_padded(plain);
        // The padding of the associated data counts as data.
        let bits = 8 * (associated.len().next_multiple_of(16) + plain.len()) as u64;
        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&bits.to_be_bytes());
        hash.update(&[lengths.into()]);
        let sum = u128::from_be_bytes(hash.finalize().into());

        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&iv);
        nonce[15] = 1;
        let mut mask = nonce.into();
        self.gmac.encrypt_block(&mut mask);
        let gmac = sum ^ u128::from_be_bytes(mask.into());
        ((gmac >> 64) as u64 ^ gmac as u64).to_be_bytes()
    }
}
