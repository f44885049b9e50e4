//! What policies, settings and orders do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bond::config::{LinkMode, LinkSelectMethod, LinkSettings};
use bond::{BasePolicy, EventKind, Plan, PolicySettings};
use node::io::Input;
use node::testing::Net;
use protocol::Verb;

use crate::lab::{
    A, B, FRAME_PAYLOAD, LINKS, SECOND, TICK, active, block, entry, events, exchange,
    exchange_until, frames_by_link, ip, planned, policy, settings, two, two_with, unblock,
};

const MILLISECOND: Duration = Duration::from_millis(1);
/// A way takes 5 ms.
const ROUND_TRIP: Duration = Duration::from_millis(10);

/// What each link is for.
fn links(modes: [LinkMode; LINKS as usize]) -> Vec<LinkSettings> {
    let named = (0..).zip(modes).map(|(number, mode)| LinkSettings {
        mode,
        ..LinkSettings::new(&format!("sim{number}"))
    });
    named.collect()
}

#[test]
fn nobody_is_bonded_unless_told() {
    let net = two(1, [None, None]);
    assert!(net.nodes[A].node.bonds(net.now()).is_empty());
    assert!(!entry(&net, A, B).measured);
    assert!(events(&net, A).is_empty());
    assert_eq!(entry(&net, A, B).paths.len(), usize::from(LINKS));
}

#[test]
fn a_bond_has_all_paths_and_says_so_and_roots_have_none() {
    let net = two(2, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let bonds = net.nodes[A].node.bonds(net.now());
    assert_eq!(bonds.len(), 1);
    assert_eq!(bonds[0].peer, net.nodes[B].address());
    assert_eq!(bonds[0].paths.len(), usize::from(LINKS));
    assert_eq!(bonds[0].alive_links, usize::from(LINKS));
    let names: BTreeSet<_> = bonds[0].paths.iter().map(|p| &p.interface[..]).collect();
    assert_eq!(names, BTreeSet::from(["sim0", "sim1", "sim2"]));
    assert!(matches!(
        events(&net, A)[0],
        EventKind::BondCreated {
            base: BasePolicy::ActiveBackup
        }
    ));
    assert!(entry(&net, A, B).measured);
}

#[test]
fn active_backup_returns_to_the_primary_link_with_always() {
    let policy = PolicySettings {
        link_select: LinkSelectMethod::Always,
        links: links([LinkMode::Spare, LinkMode::Primary, LinkMode::Spare]),
        ..policy(BasePolicy::ActiveBackup)
    };
    let mut net = two(4, [Some(policy), None]);
    assert_eq!(active(&net), 2);
    block(&mut net, 2);
    let left = exchange_until(&mut net, 5 * SECOND, |net| active(net) != 2).unwrap();
    assert!(left <= Duration::from_millis(700), "{left:?}");
    exchange(&mut net, 5 * SECOND);
    unblock(&mut net, 2);
    // A link that failed proves itself for a while first.
    let back = exchange_until(&mut net, 20 * SECOND, |net| active(net) == 2);
    assert!(back.is_some(), "{:?}", net.nodes[A].node.bonds(net.now()));
}

#[test]
fn balance_xor_uses_all_links_and_points_slots_elsewhere_when_one_fails() {
    let mut net = two(5, [Some(policy(BasePolicy::BalanceXor)), None]);
    let shares = |net: &Net| {
        let mut shares = BTreeMap::new();
        for link in planned(net, A, B) {
            *shares.entry(link).or_insert(0) += 1;
        }
        shares
    };
    let before = shares(&net);
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(
        before.values().all(|n| (300..=400).contains(n)),
        "{before:?}"
    );
    block(&mut net, 2);
    let took = exchange_until(&mut net, 5 * SECOND, |net| !shares(net).contains_key(&2)).unwrap();
    assert!(took <= Duration::from_millis(700), "{took:?}");
    let after = shares(&net);
    assert!(after.values().all(|n| (450..=574).contains(n)), "{after:?}");
    unblock(&mut net, 2);
    let back = exchange_until(&mut net, 30 * SECOND, |net| shares(net).contains_key(&2));
    assert!(back.is_some());
}

/// The other side knows nothing of our settings but what we tell it.
#[test]
fn a_link_that_one_side_spares_is_spared_by_the_other() {
    let ours = PolicySettings {
        links: links([LinkMode::Primary, LinkMode::Primary, LinkMode::Spare]),
        ..policy(BasePolicy::BalanceXor)
    };
    let theirs = || policy(BasePolicy::BalanceXor);
    let used = |net: &Net| BTreeSet::from_iter(planned(net, B, A));
    let mut net = two(29, [Some(ours), Some(theirs())]);
    assert_eq!(used(&net), BTreeSet::from([1, 2]));
    assert!(events(&net, B).iter().any(|event| matches!(
        event,
        EventKind::PeerAttributes { attributes, .. } if attributes.mode == LinkMode::Spare
    )));
    // What is said holds until it is unsaid.
    exchange(&mut net, 200 * SECOND);
    assert_eq!(used(&net), BTreeSet::from([1, 2]));
    net.command(A, settings(theirs()));
    exchange(&mut net, 5 * SECOND);
    assert_eq!(used(&net), BTreeSet::from([1, 2, 3]));
}

/// What the other side says of all links alike leaves our order of them in force.
#[test]
fn a_peer_that_refuses_every_link_does_not_level_ours() {
    let ours = PolicySettings {
        links: links([LinkMode::Spare, LinkMode::Primary, LinkMode::Spare]),
        link_select: LinkSelectMethod::Always,
        ..policy(BasePolicy::ActiveBackup)
    };
    let theirs = PolicySettings {
        links: vec![LinkSettings {
            mode: LinkMode::Primary,
            ..LinkSettings::new("elsewhere")
        }],
        ..policy(BasePolicy::ActiveBackup)
    };
    let mut net = two(30, [Some(ours), Some(theirs)]);
    exchange(&mut net, 5 * SECOND);
    assert_eq!(active(&net), 2);
    let modes = || net.nodes[A].node.bonds(net.now())[0].paths.clone();
    let primary = modes()
        .iter()
        .filter(|p| p.mode == LinkMode::Primary)
        .count();
    assert_eq!(primary, 1, "{:#?}", modes());
}

/// Frames both ways every millisecond.
fn load(net: &mut Net, millis: u32) {
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    for _ in 0..millis {
        net.send(A, b, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.send(B, a, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.run_for(MILLISECOND);
    }
}

/// Whatever the peer is: the plan is another one at once, what was on its way still arrives, and a round trip later nothing is on
/// the link that was left.
#[test]
fn an_operator_rotates_within_a_round_trip() {
    for plain_ones in [&[][..], &[B]] {
        let policy = PolicySettings {
            // Nothing but the order moves anything.
            link_select: LinkSelectMethod::Always,
            ..policy(BasePolicy::ActiveBackup)
        };
        let mut net = two_with(6, [Some(policy), None], plain_ones);
        let (first, peer) = (active(&net), net.nodes[B].address());
        net.run_for(TICK);
        let (mut from, received) = (net.nodes[A].sent.len(), net.nodes[B].received(Verb::Frame));
        load(&mut net, 500);
        let all = BTreeMap::from([(first, 500)]);
        assert_eq!(frames_by_link(&net, from), all);
        from = net.nodes[A].sent.len();
        let now = net.now();
        let status = &net.nodes[A].node.bonds(now)[0];
        let head = status.paths.iter().find(|path| path.id == status.queue[0]);
        let (head, waiting) = (
            head.expect("a path of the bond").interface.clone(),
            status.queue.len(),
        );
        assert_eq!(waiting, usize::from(LINKS) - 1);
        let order = bond::Command::Rotate {
            interface: None,
            sticky: true,
        };
        let answer = net.nodes[A].node.bond_command(now, peer, order);
        assert!(answer.is_ok(), "{answer:?}");
        net.handle(A, Input::Tick);
        let second = active(&net);
        assert_eq!(format!("sim{}", second - 1), head);
        assert_ne!(second, first);
        load(&mut net, ROUND_TRIP.as_millis() as u32);
        net.block_one_way(ip(A, first), ip(B, first));
        load(&mut net, 490);
        net.run_for(TICK);
        let all = BTreeMap::from([(second, 500)]);
        assert_eq!(frames_by_link(&net, from), all);
        assert_eq!(net.nodes[B].received(Verb::Frame) - received, 1000);
        assert_eq!(active(&net), second);
    }
}

#[test]
fn orders_need_a_bond() {
    let mut net = two(6, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let (now, nobody) = (net.now(), net.nodes[0].address());
    let order = bond::Command::LinkReset("sim0".into());
    assert!(net.nodes[A].node.bond_command(now, nobody, order).is_err());
}

#[test]
fn broadcast_sends_on_every_path_and_delivers_once() {
    let both = || Some(policy(BasePolicy::Broadcast));
    let mut net = two(13, [both(), both()]);
    assert!(matches!(entry(&net, A, B).plan, Plan::Every(_)));
    let (from, received) = (net.nodes[A].sent.len(), net.nodes[B].received(Verb::Frame));
    let b = net.nodes[B].address();
    for _ in 0..20 {
        net.send(A, b, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.run_for(TICK);
    }
    assert_eq!(
        frames_by_link(&net, from),
        BTreeMap::from([(1, 20), (2, 20), (3, 20)])
    );
    assert_eq!(net.nodes[B].received(Verb::Frame) - received, 20);
}

/// The receiver's own setting decides, whatever the sender's means of telling copies.
#[test]
fn broadcast_without_dedup_delivers_every_copy() {
    let keeps = |deduplicate| {
        let mut settings = policy(BasePolicy::Broadcast);
        settings.deduplicate = deduplicate;
        Some(settings)
    };
    for (plain, deduplicate, copies) in
        [(&[][..], true, 20), (&[], false, 60), (&[B][..], false, 60)]
    {
        let mut net = two_with(13, [keeps(true), keeps(deduplicate)], plain);
        exchange(&mut net, 2 * SECOND);
        let before = net.nodes[B].received(Verb::Frame);
        let b = net.nodes[B].address();
        for _ in 0..20 {
            net.send(A, b, Verb::Frame, &[0; FRAME_PAYLOAD]);
            net.run_for(TICK);
        }
        assert_eq!(net.nodes[B].received(Verb::Frame) - before, copies);
        assert_eq!(entry(&net, B, A).duplicates.is_some(), deduplicate);
    }
}

#[test]
fn settings_change_and_end_a_bond() {
    let mut net = two(14, [Some(policy(BasePolicy::ActiveBackup)), None]);
    net.command(A, settings(policy(BasePolicy::BalanceXor)));
    net.run_for(TICK);
    assert!(matches!(entry(&net, A, B).plan, Plan::Slots { .. }));
    net.command(A, settings(PolicySettings::default()));
    net.run_for(TICK);
    assert!(net.nodes[A].node.bonds(net.now()).is_empty());
    assert!(matches!(entry(&net, A, B).plan, Plan::Single(_)));
    assert!(!entry(&net, A, B).measured);
}
