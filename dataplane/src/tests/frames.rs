//! Frames that go through.

use bond::Plan;
use node::rules::{Action, NetworkPolicy};
use protocol::packet::{self, FragmentView, PacketView, increment_hops};
use protocol::rule::RuleKind;
use protocol::{Address, MacAddress, PacketId, Suite, Verb};

use super::*;

#[test]
fn a_frame_arrives_as_it_was_sent_under_every_suite() {
    for suite in [Suite::AesGmacSiv, Suite::Salsa20Poly1305, Suite::Poly1305] {
        let [mut a, mut b] = pair();
        a.knowledge.suite = suite;
        let sent = a.emit(b"hello");
        a.work();
        assert_eq!(carry(&a, &b, endpoint(0)), 1);
        b.work();
        assert_eq!(b.tap.take_written(), [sent], "{suite:?}");
        assert_eq!(b.take_handovers(), []);
        let (here, there) = (a.core.counters.read(&[]), b.core.counters.read(&[]));
        assert_eq!((here.frames_read, here.datagrams_sent), (1, 1));
        assert_eq!((there.datagrams_received, there.frames_written), (1, 1));
        assert_eq!(a.knowledge.activity.frame_sent.get(), Some(NOW));
        assert_eq!(b.knowledge.activity.frame_received.get(), Some(NOW));
        assert_eq!(a.knowledge.paths[0].activity.sent.get(), Some(NOW));
        assert_eq!(b.knowledge.paths[0].activity.authentic.get(), Some(NOW));
    }
}

#[test]
fn the_wire_form_is_a_frame_packet() {
    let [mut a, b] = pair();
    let sent = a.emit(b"hello");
    a.work();
    let mut datagram = a.sockets[0].take_sent().remove(0).bytes;
    assert_eq!(datagram[18], 0x18);
    keys().open(&mut datagram).unwrap();
    let view = PacketView::new(&datagram).unwrap();
    assert_eq!(view.verb(), Some(Verb::Frame));
    assert_eq!(view.source(), a.knowledge.address);
    assert_eq!(view.destination(), b.knowledge.address);
    let expected = [&NETWORK.0.to_be_bytes()[..], &[8, 0], &sent[14..]].concat();
    assert_eq!(view.payload(), expected);
}

#[test]
fn frames_of_every_length_arrive_in_order_and_in_equal_pieces() {
    let [mut a, mut b] = pair();
    b.knowledge.mtu = 10_000;
    let lengths: Vec<usize> = (1..9500)
        .step_by(371)
        .chain([1394 - 28, 1395 - 28, 2772])
        .collect();
    for length in lengths {
        let sent: Vec<_> = (0..3).map(|_| a.emit(&pattern(length))).collect();
        a.work();
        let datagrams = a.sockets[0].take_sent();
        for pieces in datagrams.chunks(datagrams.len() / 3) {
            let size = pieces[0].bytes.len();
            assert!(pieces.iter().all(|p| p.bytes.len() <= 1432));
            assert!(pieces.iter().all(|p| size - p.bytes.len() < pieces.len()));
        }
        for datagram in datagrams {
            b.sockets[0].arrive(endpoint(0), &datagram.bytes);
        }
        b.work();
        assert_eq!(b.tap.take_written(), sent, "{length}");
    }
    assert_eq!(a.take_handovers(), []);
    assert_eq!(b.take_handovers(), []);
}

#[test]
fn frames_that_no_receiver_could_join_are_counted() {
    let [mut a, _] = pair();
    a.emit(&pattern(9950));
    a.knowledge.paths[0].mtu = 9000;
    a.emit(&pattern(9990));
    a.work();
    assert_eq!(a.sockets[0].take_sent().len(), 2);
    assert_eq!(a.dropped(DropReason::PacketTooLong), 1);
    a.knowledge.paths[0].mtu = 1432;
    a.emit(&pattern(9890));
    a.work();
    assert_eq!(a.sockets[0].take_sent(), []);
    assert_eq!(a.dropped(DropReason::PacketTooLong), 2);
    assert_eq!(a.take_handovers(), []);
}

#[test]
fn long_frames_leave_in_trains() {
    let [mut a, _] = pair();
    for _ in 0..30 {
        a.emit(&pattern(2772));
    }
    a.work();
    let counters = a.core.counters.read(&[]);
    assert_eq!(counters.datagrams_sent, 60);
    assert!(counters.sends <= 3, "{}", counters.sends);
}

#[test]
fn pieces_as_the_reference_cuts_them_are_joined_in_any_order() {
    let [mut a, mut b] = pair();
    a.knowledge.paths[0].mtu = 9999;
    let sent = a.emit(&pattern(2772));
    a.work();
    let whole = a.sockets[0].take_sent().remove(0).bytes;
    // Cut again with the flag that only a sealed head can carry.
    let mut plain = whole;
    keys().open(&mut plain).unwrap();
    packet::set_fragmented(&mut plain);
    keys().seal(&mut plain, Suite::AesGmacSiv);
    let mut pieces = packet::split(&plain, 1432);
    assert_eq!(
        pieces.iter().map(Vec::len).collect::<Vec<_>>(),
        [1432, 1422]
    );
    assert!(FragmentView::new(&pieces[1]).is_some());
    for _ in 0..2 {
        for piece in &pieces {
            b.sockets[0].arrive(endpoint(0), piece);
        }
        b.work();
        assert_eq!(b.tap.take_written(), std::slice::from_ref(&sent));
        pieces.reverse();
    }
}

#[test]
fn broadcast_sends_the_same_datagrams_on_all_paths() {
    let [mut a, mut b] = pair();
    a.knowledge.paths.push(path_entry(SECOND_LINK, endpoint(9)));
    a.knowledge.paths[1].mtu = 1400;
    a.knowledge.plan = Plan::Every(Box::new([0, 1]));
    let sent = a.emit(&pattern(2000));
    a.work();
    let [first, second] = [&a.sockets[0], &a.sockets[1]].map(|s| s.take_sent());
    assert_eq!(first.len(), 2);
    for (x, y) in first.iter().zip(&second) {
        assert_eq!(x.bytes, y.bytes);
        assert!(x.bytes.len() <= 1400);
        assert_eq!((x.address, y.address), (endpoint(1), endpoint(9)));
        b.sockets[0].arrive(endpoint(0), &x.bytes);
    }
    b.work();
    assert_eq!(b.tap.take_written(), [sent]);
}

#[test]
fn slots_keep_a_flow_on_its_path_and_spread_flows() {
    let [mut a, b] = pair();
    a.knowledge.paths.push(path_entry(SECOND_LINK, endpoint(9)));
    a.knowledge.plan = Plan::Slots {
        slots: Arc::new(std::array::from_fn(|slot| (slot % 2) as u8)),
        paths: Box::new([0, 1]),
        hash: bond::HashPolicy::default(),
    };
    let own = MacAddress::of(a.knowledge.address, NETWORK);
    let peer = MacAddress::of(b.knowledge.address, NETWORK);
    let mut used = [0, 0];
    for port in 0..64 {
        for _ in 0..3 {
            let mut bytes = frame(peer, own, b"of one flow");
            bytes[34 + 1] = port;
            a.tap.emit(&bytes);
        }
        a.work();
        let sent = [&a.sockets[0], &a.sockets[1]].map(|s| s.take_sent().len());
        assert!(sent == [3, 0] || sent == [0, 3], "{sent:?}");
        used = [used[0] + sent[0], used[1] + sent[1]];
    }
    assert!(used.iter().all(|&frames| frames > 30), "{used:?}");
}

#[test]
fn trusted_paths_carry_plain_packets_and_receivers_ask_the_node() {
    let [mut a, mut b] = pair();
    a.knowledge.paths[0].trusted_path_id = Some(77);
    a.emit(b"plain");
    a.work();
    let datagram = a.sockets[0].take_sent().remove(0).bytes;
    let view = PacketView::new(&datagram).unwrap();
    assert_eq!(view.suite(), Some(Suite::TrustedPath));
    assert_eq!(view.trusted_path_id(), 77);
    assert!(datagram.ends_with(b"plain"));
    b.sockets[0].arrive(endpoint(0), &datagram);
    b.work();
    assert!(
        matches!(&b.take_handovers()[..], [Handover::Datagram { bytes, .. }] if *bytes == datagram)
    );
}

#[test]
fn what_is_not_plain_unicast_is_handed_over() {
    let [mut a, b] = pair();
    let own = MacAddress::of(a.knowledge.address, NETWORK);
    let peer = MacAddress::of(b.knowledge.address, NETWORK);
    let stranger = MacAddress::of(Address::from_u64(0x99), NETWORK);
    let frames = [
        frame(MacAddress::BROADCAST, own, b"broadcast"),
        frame(MacAddress([0x33, 0x33, 0, 0, 0, 1]), own, b"multicast"),
        frame(stranger, own, b"nobody knows"),
        frame(MacAddress([2; 6]), own, b"behind a bridge"),
        frame(peer, MacAddress([2; 6]), b"bridged"),
        frame(own, own, b"to itself"),
    ];
    for frame in &frames {
        a.tap.emit(frame);
    }
    a.work();
    let expected: Vec<_> = frames
        .iter()
        .map(|bytes| Handover::Frame {
            network: NETWORK,
            bytes: bytes.clone(),
        })
        .collect();
    assert_eq!(a.take_handovers(), expected);
    assert_eq!(a.sockets[0].take_sent(), []);
}

#[test]
fn without_a_path_or_credentials_the_frame_is_handed_over_intact() {
    let [mut a, _] = pair();
    a.knowledge.plan = Plan::Unreachable;
    let sent = a.emit(&pattern(500));
    a.work();
    assert!(matches!(&a.take_handovers()[..], [Handover::Frame { bytes, .. }] if *bytes == sent));
}

#[test]
fn rules_drop_in_both_directions_and_a_new_epoch_counts_at_once() {
    let [mut a, mut b] = pair();
    b.knowledge.rules = vec![rule(RuleKind::Drop)];
    a.emit(b"one");
    a.work();
    carry(&a, &b, endpoint(0));
    b.work();
    assert_eq!(b.dropped(DropReason::FilteredInbound), 1);
    assert_eq!(b.tap.take_written().len(), 0);
    // The sender passed the gate all the same.
    assert_eq!(b.knowledge.activity.frame_received.get(), Some(NOW));

    a.knowledge.rules = vec![rule(RuleKind::Drop)];
    a.emit(b"cached verdict");
    a.work();
    assert_eq!(carry(&a, &b, endpoint(0)), 1, "same epoch, same flow");
    a.knowledge.epoch += 1;
    a.emit(b"two");
    a.work();
    assert_eq!(a.dropped(DropReason::FilteredOutbound), 1);
    assert_eq!(carry(&a, &b, endpoint(0)), 0);
}

#[test]
fn verdicts_with_copies_are_the_nodes_business() {
    let [mut a, b] = pair();
    let observer = protocol::rule::Forward {
        address: 0x0123,
        flags: 0,
        length: 64,
    };
    a.knowledge.rules = vec![rule(RuleKind::Tee(observer)), rule(RuleKind::Accept)];
    let sent = a.emit(b"watched");
    a.work();
    assert_eq!(carry(&a, &b, endpoint(0)), 0);
    assert!(matches!(&a.take_handovers()[..], [Handover::Frame { bytes, .. }] if *bytes == sent));
}

#[test]
fn a_frame_of_a_stranger_to_the_network_is_handed_over_opened() {
    let [mut a, mut b] = pair();
    b.knowledge.admitted = false;
    let sent = a.emit(b"let me in");
    a.work();
    carry(&a, &b, endpoint(0));
    b.work();
    let handovers = b.take_handovers();
    let [Handover::Opened { path, packet }] = &handovers[..] else {
        panic!("{handovers:?}");
    };
    assert_eq!(path.remote, endpoint(0));
    assert_eq!(packet[38..], sent[14..]);
    assert_eq!(b.tap.take_written().len(), 0);
}

#[test]
fn a_new_path_is_reported_once_a_second_and_only_when_direct() {
    let [mut a, mut b] = pair();
    let elsewhere = SocketAddr::from(([198, 51, 100, 1], 4));
    for _ in 0..3 {
        a.emit(b"roaming");
    }
    a.work();
    carry(&a, &b, elsewhere);
    b.work();
    assert_eq!(b.tap.take_written().len(), 3);
    assert_eq!(
        b.take_handovers(),
        [Handover::UnknownPath {
            peer: a.knowledge.address,
            path: PathKey {
                link: LINK,
                remote: elsewhere
            }
        }]
    );
    a.emit(b"relayed");
    a.work();
    let mut relayed = a.sockets[0].take_sent().remove(0).bytes;
    assert!(increment_hops(&mut relayed));
    b.sockets[0].arrive(SocketAddr::from(([198, 51, 100, 2], 4)), &relayed);
    b.work();
    assert_eq!(b.tap.take_written().len(), 1);
    assert_eq!(b.take_handovers(), []);
}

#[test]
fn other_verbs_are_handed_over_opened() {
    let [a, mut b] = pair();
    let mut echo = packet::start(
        PacketId(5),
        b.knowledge.address,
        a.knowledge.address,
        Verb::Echo,
    );
    echo.extend_from_slice(b"ping");
    keys().seal(&mut echo, Suite::AesGmacSiv);
    b.sockets[0].arrive(endpoint(0), &echo);
    b.work();
    let handovers = b.take_handovers();
    assert!(
        matches!(&handovers[..], [Handover::Opened { packet, .. }] if packet.ends_with(b"ping"))
    );
}

#[test]
fn a_root_relays_packets_and_fragments_and_reports_the_pair_once() {
    let [mut a, b] = pair();
    let a_address = a.knowledge.address;
    let mut root = Side::new(
        Knowledge::new(0x77_0000_0001, b.knowledge.address.to_u64(), endpoint(1)),
        64,
    );
    root.knowledge.is_upstream = true;
    a.emit(b"short");
    a.emit(&pattern(2000));
    a.work();
    assert_eq!(carry(&a, &root, endpoint(0)), 3);
    root.work();
    let sent = root.sockets[0].take_sent();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|d| d.address == endpoint(1)));
    assert_eq!(PacketView::new(&sent[0].bytes).unwrap().hops(), 1);
    assert_eq!(FragmentView::new(&sent[2].bytes).unwrap().hops(), 1);
    assert_eq!(
        root.take_handovers(),
        [Handover::Relayed {
            source: a_address,
            destination: b.knowledge.address
        }]
    );
    // Others leave it to the node.
    root.knowledge.is_upstream = false;
    a.emit(b"short");
    a.work();
    carry(&a, &root, endpoint(0));
    root.work();
    assert!(matches!(
        root.take_handovers()[..],
        [Handover::Datagram { .. }]
    ));
    // And whoever has come too far goes no further.
    root.knowledge.is_upstream = true;
    let mut tired = sent[0].bytes.clone();
    while increment_hops(&mut tired) {}
    root.sockets[0].arrive(endpoint(0), &tired);
    root.work();
    assert_eq!(root.dropped(DropReason::HopLimit), 1);
}

#[test]
fn a_full_socket_stops_reading_until_it_has_room_or_patience_ends() {
    let [mut a, b] = pair();
    a.sockets[0].allow_sends(0);
    for n in 0..200u8 {
        a.emit(&[n]);
    }
    a.work();
    assert!(a.core.is_blocked());
    let waiting = a.tap.waiting();
    assert!(waiting > 100);
    a.work();
    assert_eq!(a.tap.waiting(), waiting, "nothing is read meanwhile");
    a.sockets[0].allow_sends(usize::MAX);
    a.work();
    assert!(!a.core.is_blocked());
    assert_eq!(carry(&a, &b, endpoint(0)), 200);
    assert_eq!(a.dropped(DropReason::SendBlocked), 0);

    a.sockets[0].allow_sends(0);
    a.emit(b"lost");
    a.work();
    a.now = a.now + std::time::Duration::from_millis(200);
    a.work();
    assert!(!a.core.is_blocked());
    assert_eq!(a.dropped(DropReason::SendBlocked), 1);
}

#[test]
fn the_flow_cache_agrees_with_the_rules() {
    let policy = NetworkPolicy {
        rules: Box::new([rule(RuleKind::Accept)]),
        ..(*pair()[0].knowledge.snapshot().networks[&NETWORK].policy).clone()
    };
    let bytes = frame(MacAddress([2; 6]), MacAddress([4; 6]), b"x");
    let parsed = node::frame::EthernetFrame::parse(&bytes).unwrap();
    let verdict = policy.filter_outbound(None, None, &parsed, 0);
    assert_eq!(verdict.action, Action::Accept);
    assert!(verdict.cacheable);
}
