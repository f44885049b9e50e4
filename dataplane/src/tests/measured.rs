//! What bonds are told, and copies on several paths.

use std::time::Duration;

use bond::plan::SLOTS;
use bond::{HashPolicy, Plan};
use node::io::Sample;
use node::snapshot::PathLanes;
use protocol::PacketId;
use protocol::packet::{Lane, LaneOrigin, PacketView};

use super::*;
use crate::udp::fake::FakeDatagram;

/// Both sides measure each other, on two links.
fn measured_pair() -> [Side; 2] {
    let mut pair = pair();
    for (side, other) in pair.iter_mut().zip([1, 0]) {
        side.knowledge.measured = true;
        side.knowledge
            .paths
            .push(path_entry(SECOND_LINK, endpoint(other)));
    }
    pair
}

fn samples(side: &mut Side) -> Vec<Sample> {
    let handovers = side.take_handovers().into_iter();
    handovers
        .flat_map(|handover| match handover {
            Handover::Samples(samples) => samples,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn peers_that_are_not_measured_leave_no_trace() {
    let [mut a, mut b] = pair();
    for _ in 0..100 {
        a.emit(b"hello");
    }
    a.work();
    carry(&a, &b, endpoint(0));
    b.work();
    for side in [&mut a, &mut b] {
        side.now = side.now + Duration::from_secs(1);
        side.work();
        assert_eq!(side.take_handovers(), []);
        let activity = &side.knowledge.paths[0].activity;
        assert_eq!(
            activity.packets_sent.get() + activity.bytes_received.get(),
            0
        );
        assert_eq!(side.core.measurements.patience(), None);
    }
}

#[test]
fn both_sides_sample_the_same_odd_packets_and_count_all() {
    let [mut a, mut b] = measured_pair();
    for _ in 0..100 {
        a.emit(b"hello");
    }
    a.work();
    let datagrams = a.sockets[0].take_sent();
    let odd: Vec<PacketId> = datagrams
        .iter()
        .map(|d| PacketView::new(&d.bytes).unwrap().id())
        .filter(|id| id.0 & 1 == 1)
        .collect();
    let bytes: usize = datagrams.iter().map(|d| d.bytes.len()).sum();
    for datagram in &datagrams {
        b.sockets[0].arrive(endpoint(0), &datagram.bytes);
    }
    b.work();
    for side in [&mut a, &mut b] {
        // Not before its time.
        assert_eq!(side.take_handovers(), []);
        assert!(side.core.measurements.patience().is_some());
        side.now = side.now + Duration::from_millis(50);
        side.work();
        assert_eq!(side.core.measurements.patience(), None);
    }
    for (side, is_sender) in [(&mut a, true), (&mut b, false)] {
        let activity = Arc::clone(&side.knowledge.paths[0].activity);
        let samples = samples(side);
        let ids: Vec<PacketId> = samples.iter().map(|s| s.packet).collect();
        assert_eq!(ids, odd);
        for sample in samples {
            assert_eq!(sample.sent, is_sender);
            assert_eq!((sample.peer, sample.at), (side.knowledge.peer, NOW));
            assert_eq!(sample.path, side.knowledge.paths[0].key);
        }
        let (packets, sum) = if is_sender {
            (&activity.packets_sent, &activity.bytes_sent)
        } else {
            (&activity.packets_received, &activity.bytes_received)
        };
        assert_eq!((packets.get(), sum.get()), (100, bytes as u64));
    }
}

/// Where the node wants fewer samples, ids are chosen so; all packets can be read.
#[test]
fn one_packet_in_as_many_as_wanted_is_sampled() {
    for suite in [Suite::AesGmacSiv, Suite::Salsa20Poly1305] {
        let [mut a, mut b] = measured_pair();
        a.knowledge.suite = suite;
        a.knowledge.paths[0].one_in = 8;
        a.knowledge.paths[1].one_in = 32;
        for (index, one_in) in [(0u8, 8), (1, 32)] {
            a.knowledge.plan = Plan::Single(index);
            let mut odd = 0;
            for _ in 0..32 {
                for _ in 0..128 {
                    a.emit(b"hello");
                }
                a.work();
                let sent = a.sockets[usize::from(index)].take_sent();
                let is_odd = |d: &&FakeDatagram| PacketView::new(&d.bytes).unwrap().id().0 & 1 == 1;
                assert_eq!(sent.len(), 128);
                odd += sent.iter().filter(is_odd).count();
                for datagram in &sent {
                    b.sockets[usize::from(index)].arrive(endpoint(0), &datagram.bytes);
                }
                b.work();
                assert_eq!(b.tap.take_written().len(), 128);
            }
            a.now = a.now + Duration::from_millis(50);
            a.work();
            let samples = samples(&mut a);
            assert!(samples.iter().all(|sample| sample.one_in == one_in));
            assert_eq!(samples.len(), odd.min(512));
            let expected = 4096 / usize::from(one_in);
            assert_eq!(odd, expected);
        }
    }
}

/// Whatever its id: only odd ones are sampled, and samples wait.
#[test]
fn the_first_packet_of_an_idle_bond_is_told_in_the_same_turn() {
    let [mut a, _] = measured_pair();
    a.knowledge.idle = true;
    let told = |a: &mut Side| {
        let handovers = a.take_handovers().into_iter();
        handovers
            .filter(|handover| matches!(handover, Handover::Lanes { .. }))
            .collect::<Vec<_>>()
    };
    let woken = [Handover::Lanes {
        arrivals: vec![],
        sent: vec![a.knowledge.peer],
    }];
    for _ in 0..8 {
        a.emit(b"hello");
        a.work();
        let sent = a.knowledge.paths[0].activity.packets_sent.get();
        assert_eq!(told(&mut a), woken, "after {sent} packets");
        a.emit(b"hello");
        a.work();
        assert_eq!(told(&mut a), []);
        a.now = a.now + Duration::from_millis(20);
        a.work();
        assert_eq!(told(&mut a), woken);
        a.now = a.now + Duration::from_millis(20);
    }
    a.knowledge.idle = false;
    a.emit(b"hello");
    a.work();
    a.now = a.now + Duration::from_millis(20);
    a.work();
    assert_eq!(told(&mut a), []);
}

#[test]
fn a_flood_fills_no_more_than_the_list() {
    let [mut a, _] = measured_pair();
    for _ in 0..4000 {
        a.emit(b"hello");
    }
    a.work();
    a.now = a.now + Duration::from_secs(1);
    a.work();
    assert_eq!(samples(&mut a).len(), 512);
    assert_eq!(a.knowledge.paths[0].activity.packets_sent.get(), 4000);
}

#[test]
fn bytes_are_counted_by_slot() {
    let [mut a, _] = measured_pair();
    a.knowledge.plan = Plan::Slots {
        slots: Arc::new(std::array::from_fn(|slot| (slot % 2) as u8)),
        paths: Box::new([0, 1]),
        hash: HashPolicy::default(),
    };
    for _ in 0..10 {
        a.emit(b"hello");
    }
    a.work();
    let sent: Vec<_> = a.sockets.iter().flat_map(|s| s.take_sent()).collect();
    let bytes: usize = sent.iter().map(|d| d.bytes.len()).sum();
    a.now = a.now + Duration::from_millis(250);
    a.work();
    let told = a.take_handovers().into_iter().find_map(|h| match h {
        Handover::SlotBytes { peer, slots } => Some((peer, slots)),
        _ => None,
    });
    let (peer, slots) = told.unwrap();
    assert_eq!(peer, a.knowledge.peer);
    assert_eq!(slots.len(), 1);
    assert!(usize::from(slots[0].0) < SLOTS);
    assert_eq!(slots[0].1, bytes as u64);
    // A flow that goes on is told of every 50 ms while it is new, then every 250 ms.
    let mut waits = Vec::new();
    for _ in 0..24 {
        a.emit(b"hello");
        a.work();
        let mut waited = 0;
        let is_told = |told: &Handover| matches!(told, Handover::SlotBytes { .. });
        while !a.take_handovers().iter().any(is_told) {
            waited += 10;
            a.now = a.now + Duration::from_millis(10);
            a.work();
        }
        waits.push(waited);
    }
    assert!(waits[..19].iter().all(|wait| *wait == 50), "{waits:?}");
    assert!(waits[19..].iter().all(|wait| *wait == 250), "{waits:?}");
    // Silence is told once by saying nothing.
    a.now = a.now + Duration::from_secs(1);
    a.work();
    assert_eq!(a.take_handovers(), []);
}

#[test]
fn a_refused_path_is_told_once() {
    let [mut a, _] = pair();
    a.sockets[0].fail_sends(libc::EHOSTUNREACH);
    for _ in 0..5 {
        a.emit(b"hello");
        a.work();
    }
    let path = a.knowledge.paths[0].key;
    let errno = libc::EHOSTUNREACH;
    assert_eq!(a.take_handovers(), [Handover::SendFailed { path, errno }]);
    assert_eq!(a.dropped(DropReason::SendFailed), 5);
    // Too long for the device: says nothing of the path.
    a.now = a.now + Duration::from_secs(2);
    a.sockets[0].fail_sends(libc::EMSGSIZE);
    a.emit(b"hello");
    a.work();
    assert_eq!(a.take_handovers(), []);
}

#[test]
fn copies_on_two_paths_are_delivered_once() {
    let [mut a, mut b] = measured_pair();
    a.knowledge.plan = Plan::Every(Box::new([0, 1]));
    b.knowledge.duplicates = Some(Arc::default());
    let sent: Vec<_> = (0..50).map(|_| a.emit(b"hello")).collect();
    a.work();
    assert_eq!(carry(&a, &b, endpoint(0)), 100);
    b.work();
    assert_eq!(b.tap.take_written(), sent);
    assert_eq!(b.dropped(DropReason::Duplicate), 50);
    // Both paths are known to work.
    for path in &b.knowledge.paths {
        assert_eq!(path.activity.authentic.get(), Some(NOW));
        assert_eq!(path.activity.packets_received.get(), 50);
    }
}

#[test]
fn forged_packets_are_counted_by_path() {
    let [mut a, mut b] = measured_pair();
    a.emit(b"hello");
    a.work();
    let mut datagram = a.sockets[0].take_sent().remove(0).bytes;
    *datagram.last_mut().unwrap() ^= 1;
    b.sockets[1].arrive(endpoint(0), &datagram);
    b.work();
    let forged = b.knowledge.paths.iter().map(|p| p.activity.forged.get());
    assert_eq!(forged.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn packets_of_peers_of_our_kind_are_numbered_and_counted_by_lane() {
    let [mut a, mut b] = measured_pair();
    let origin = LaneOrigin::new(a.knowledge.address, b.knowledge.address, 77);
    a.knowledge.numbering = Some(origin);
    b.knowledge.counted = Some(origin);
    b.knowledge.numbering = Some(LaneOrigin::new(
        b.knowledge.address,
        a.knowledge.address,
        78,
    ));
    for (path, number) in a.knowledge.paths.iter_mut().zip(4..) {
        path.lanes = Some(Arc::new(PathLanes::new(number, 1)));
    }
    a.knowledge.plan = Plan::Single(1);
    for _ in 0..50 {
        a.emit(b"hello");
    }
    a.work();
    let lanes = a.knowledge.paths[1].lanes.clone().unwrap();
    assert_eq!(
        (lanes.count(0), lanes.count(Lane::CONTROL)),
        (Some(50), Some(0))
    );
    // Every fifth is lost.
    let mut bytes = 0;
    for (index, datagram) in a.sockets[1].take_sent().into_iter().enumerate() {
        if index % 5 != 0 {
            bytes += datagram.bytes.len() as u64;
            b.sockets[1].arrive(endpoint(0), &datagram.bytes);
        }
    }
    b.work();
    assert_eq!((a.take_handovers(), b.take_handovers()), (vec![], vec![]));
    for side in [&mut a, &mut b] {
        side.now = side.now + Duration::from_millis(20);
        side.work();
    }
    let peer = a.knowledge.peer;
    assert_eq!(
        a.take_handovers(),
        [Handover::Lanes {
            arrivals: vec![],
            sent: vec![peer]
        }]
    );
    let arrived = node::io::LaneArrivals {
        peer: b.knowledge.peer,
        lane: Lane { path: 5, worker: 0 },
        packets: 40,
        bytes,
        highest: 49,
        at: NOW,
        has_traffic: true,
    };
    assert_eq!(
        b.take_handovers(),
        [Handover::Lanes {
            arrivals: vec![arrived],
            sent: vec![]
        }]
    );
    // Copies on several paths have no number, and count on none.
    a.knowledge.plan = Plan::Every(Box::new([0, 1]));
    a.emit(b"hello");
    a.work();
    carry(&a, &b, endpoint(0));
    b.work();
    assert_eq!(lanes.count(0), Some(50));
    b.now = b.now + Duration::from_secs(1);
    b.work();
    assert_eq!(b.take_handovers(), []);
}
