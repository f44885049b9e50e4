//! Keys of the AES suite from the 48-byte key of a pair (protocol specification 1.7).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha384;

/// Label of the GMAC key.
pub const LABEL_GMAC: u8 = b'0';
/// Label of the key for counter mode and the synthetic IV.
pub const LABEL_CTR: u8 = b'1';

/// HMAC-SHA-384 under a 48-byte key.
pub fn hmac_sha384(key: &[u8; 48], message: &[u8]) -> [u8; 48] {
    // A key below the hash's block size is padded with zeros, so it may as well be padded here, where its size is a
    // type and no error is possible.
    let mut block = [0; 128];
    block[..48].copy_from_slice(key);
    let mut mac = Hmac::<Sha384>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Derives 48 bytes from `key` for the purpose that `label` names. The packet suites use context and iteration 0.
pub fn derive(key: &[u8; 48], label: u8, context: u8, iteration: u32) -> [u8; 48] {
    const OUTPUT_BITS: u32 = 384;
    let mut message = [0; 13];
    message[..4].copy_from_slice(&iteration.to_be_bytes());
    message[4..9].copy_from_slice(&[b'Z', b'T', label, 0, context]);
    message[9..].copy_from_slice(&OUTPUT_BITS.to_be_bytes());
    hmac_sha384(key, &message)
}
