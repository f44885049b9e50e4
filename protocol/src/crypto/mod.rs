//! The packet ciphers of V1 and the primitives below them (protocol specification 1.2, 2.4 to 2.6).
//!
//! Keys are expanded once per pair of nodes; sealing and opening work in place and allocate nothing. Salsa20 and
//! Poly1305 are ours because the portable builds of the libraries at hand are several times slower per packet: Salsa20
//! is scalar there, and Poly1305 pays more than a microsecond per key.

pub mod aes_gmac_siv;
pub mod kdf;
pub mod poly1305;
pub mod salsa20;
mod simd;
