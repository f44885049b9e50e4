//! Time to seal and to open one packet, by suite and length; `cargo bench -p bench --bench crypto`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use protocol::identity::work;
use protocol::{SessionKeys, SharedKey, Suite};

/// Bytes after the header: a small packet, a full Ethernet frame, the default virtual MTU.
const LENGTHS: [usize; 3] = [64, 1400, 2800];

fn main() {
    divan::main();
}

fn keys() -> SessionKeys {
    let mut key = [0; 48];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = index as u8;
    }
    SessionKeys::new(&SharedKey(key))
}

fn packet(length: usize) -> Vec<u8> {
    let mut packet = vec![0x5a; protocol::packet::VERB_OFFSET + length];
    packet[18] = 0;
    packet
}

fn seal(bencher: Bencher<'_, '_>, suite: Suite, length: usize) {
    let (keys, mut packet) = (keys(), packet(length));
    // What was sealed is sealed once more: bytes are bytes.
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| keys.seal(black_box(&mut packet), suite));
}

fn open(bencher: Bencher<'_, '_>, suite: Suite, length: usize) {
    let (keys, mut packet) = (keys(), packet(length));
    keys.seal(&mut packet, suite);
    bencher
        .counter(BytesCount::new(length))
        .with_inputs(|| packet.clone())
        .bench_local_refs(|packet| keys.open(black_box(packet)).expect("authentic"));
}

#[divan::bench(args = LENGTHS)]
fn seal_0_poly1305(bencher: Bencher<'_, '_>, length: usize) {
    seal(bencher, Suite::Poly1305, length);
}

#[divan::bench(args = LENGTHS)]
fn seal_1_salsa20_poly1305(bencher: Bencher<'_, '_>, length: usize) {
    seal(bencher, Suite::Salsa20Poly1305, length);
}

#[divan::bench(args = LENGTHS)]
fn seal_3_aes_gmac_siv(bencher: Bencher<'_, '_>, length: usize) {
    seal(bencher, Suite::AesGmacSiv, length);
}

#[divan::bench(args = LENGTHS)]
fn open_0_poly1305(bencher: Bencher<'_, '_>, length: usize) {
    open(bencher, Suite::Poly1305, length);
}

#[divan::bench(args = LENGTHS)]
fn open_1_salsa20_poly1305(bencher: Bencher<'_, '_>, length: usize) {
    open(bencher, Suite::Salsa20Poly1305, length);
}

#[divan::bench(args = LENGTHS)]
fn open_3_aes_gmac_siv(bencher: Bencher<'_, '_>, length: usize) {
    open(bencher, Suite::AesGmacSiv, length);
}

/// Once per pair of nodes.
#[divan::bench]
fn expand_session_keys() -> SessionKeys {
    keys()
}

/// Once per unknown identity in a HELLO, and some 15 times per generated identity.
#[divan::bench]
fn derive_address() -> [u8; 64] {
    work::digest(black_box(&[7; 64]))
}
