//! Datagrams that mean no good.

use protocol::packet::{self, PacketView};
use protocol::{Address, PacketId, Suite, Verb};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;

/// A sealed frame from the first side to the second.
fn sealed() -> ([Side; 2], Vec<u8>) {
    let [mut a, b] = pair();
    a.emit(&pattern(300));
    a.work();
    let datagram = a.sockets[0].take_sent().remove(0).bytes;
    ([a, b], datagram)
}

#[test]
fn a_bad_tag_changes_nothing_but_its_counter() {
    let ([_, mut b], good) = sealed();
    let mut generator = StdRng::seed_from_u64(1);
    for round in 1..=200 {
        let mut bad = good.clone();
        // Not the hop count, which is under no seal, nor the addresses and suite, which lead elsewhere.
        let at = match generator.random_range(0..2) {
            0 => generator.random_range(19..bad.len()),
            _ => generator.random_range(0..8),
        };
        bad[at] ^= 1 << generator.random_range(0..8);
        b.sockets[0].arrive(endpoint(0), &bad);
        b.work();
        assert_eq!(b.dropped(DropReason::BadTag), round);
    }
    assert_eq!(b.tap.take_written().len(), 0);
    assert_eq!(b.take_handovers(), []);
    assert_eq!(b.knowledge.activity.received.get(), None);
    assert_eq!(b.knowledge.activity.frame_received.get(), None);
    assert_eq!(b.knowledge.paths[0].activity.authentic.get(), None);
    assert_eq!(b.knowledge.paths[0].activity.received.get(), None);
    b.sockets[0].arrive(endpoint(0), &good);
    b.work();
    assert_eq!(b.tap.take_written().len(), 1);
}

#[test]
fn random_datagrams_never_panic() {
    let ([_, mut b], good) = sealed();
    let mut generator = StdRng::seed_from_u64(2);
    b.knowledge.is_upstream = true;
    for _ in 0..20_000 {
        let length = generator.random_range(0..200);
        let mut bytes = vec![0; length];
        generator.fill_bytes(&mut bytes);
        match generator.random_range(0..4) {
            // For us, from our peer, and else anything.
            0 if length >= 18 => bytes[8..18].copy_from_slice(&good[8..18]),
            // A fragment for us.
            1 if length >= 18 => {
                bytes[8..13].copy_from_slice(&good[8..13]);
                bytes[13] = 0xff;
                let id = u64::from(bytes[0] % 8);
                bytes[0..8].copy_from_slice(&id.to_be_bytes());
            }
            // For our peer.
            2 if length >= 18 => bytes[8..13].copy_from_slice(&good[13..18]),
            _ => {}
        }
        b.sockets[0].arrive(endpoint(0), &bytes);
        if generator.random_range(0..16) == 0 {
            b.work();
            b.take_handovers();
        }
    }
    b.work();
    assert_eq!(b.tap.take_written().len(), 0);
}

#[test]
fn authentic_but_malformed_frames_never_panic() {
    let [a, mut b] = pair();
    let mut generator = StdRng::seed_from_u64(3);
    for _ in 0..5000 {
        let mut bytes = packet::start(
            PacketId(generator.random()),
            b.knowledge.address,
            a.knowledge.address,
            Verb::Frame,
        );
        if generator.random_range(0..2) == 0 {
            bytes.extend_from_slice(&NETWORK.0.to_be_bytes());
        }
        let mut rest = vec![0; generator.random_range(0..64)];
        generator.fill_bytes(&mut rest);
        bytes.extend_from_slice(&rest);
        keys().seal(&mut bytes, Suite::AesGmacSiv);
        b.sockets[0].arrive(endpoint(0), &bytes);
        b.work();
        b.take_handovers();
    }
}

#[test]
fn random_frames_from_the_host_never_panic() {
    let [mut a, _] = pair();
    let mut generator = StdRng::seed_from_u64(4);
    let good = a.emit(b"x");
    a.work();
    for _ in 0..5000 {
        let mut bytes = vec![0; generator.random_range(0..100)];
        generator.fill_bytes(&mut bytes);
        let keep = good
            .len()
            .min(bytes.len())
            .min(generator.random_range(0..40));
        bytes[..keep].copy_from_slice(&good[..keep]);
        a.tap.emit(&bytes);
        a.work();
        a.take_handovers();
    }
    assert!(a.dropped(DropReason::FrameTooShort) > 0);
}

#[test]
fn a_full_ring_drops_and_counts() {
    let [a, _] = pair();
    let mut side = Side::new(a.knowledge, 4);
    for _ in 0..10 {
        side.tap.emit(&frame(
            MacAddress::BROADCAST,
            MacAddress::of(side.knowledge.address, NETWORK),
            b"who has",
        ));
    }
    side.work();
    assert_eq!(side.take_handovers().len(), 4);
    assert_eq!(side.dropped(DropReason::HandoverFull), 6);
    assert_eq!(side.core.counters.read(&[]).handovers, 4);
}

#[test]
fn what_only_the_node_can_judge_comes_raw_or_joined() {
    let [a, mut b] = pair();
    let (me, peer) = (b.knowledge.address, a.knowledge.address);
    let hello = packet::start(PacketId(1), me, peer, Verb::Hello);
    let stranger = packet::start(PacketId(2), me, Address::from_u64(0x99), Verb::Echo);
    for bytes in [&hello, &stranger, &vec![1; 13]] {
        b.sockets[0].arrive(endpoint(0), bytes);
        b.work();
        assert!(
            matches!(&b.take_handovers()[..], [Handover::Datagram { bytes: got, .. }] if got == bytes)
        );
    }
    let mut long = packet::start(PacketId(3), me, Address::from_u64(0x99), Verb::Echo);
    long.extend_from_slice(&pattern(3000));
    packet::set_fragmented(&mut long);
    for piece in packet::split(&long, 1432) {
        b.sockets[0].arrive(endpoint(0), &piece);
    }
    b.work();
    assert!(
        matches!(&b.take_handovers()[..], [Handover::Assembled { packet, .. }] if *packet == long)
    );
}

#[test]
fn short_own_and_unknown_suites_are_counted() {
    let ([_, mut b], good) = sealed();
    let mut own = good.clone();
    own[13..18].copy_from_slice(&good[8..13]);
    let mut suite = good.clone();
    suite[18] = 0x20;
    assert_eq!(PacketView::new(&suite).unwrap().suite(), None);
    for bytes in [&own, &suite, &good[..20].to_vec()] {
        b.sockets[0].arrive(endpoint(0), bytes);
        b.work();
    }
    assert_eq!(b.dropped(DropReason::FromThisNode), 1);
    assert_eq!(b.dropped(DropReason::UnsupportedSuite), 1);
    assert_eq!(b.dropped(DropReason::DatagramTooShort), 1);
    assert_eq!(b.take_handovers(), []);
}
