//! Bonds in a small simulated world: two nodes with three links each, and a root.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bond::config::{LinkMode, LinkSelectMethod, LinkSettings};
use bond::{BasePolicy, BondSettings, EventKind, LinkEvent, Plan, PolicySettings};
use node::io::{Command, Config, Event, Input, LinkId, Sample};
use node::snapshot::PeerEntry;
use node::testing::{Conditions, Net};
use protocol::world::{World, WorldKind};
use protocol::{PacketId, SecretIdentity, Verb};
use rand::SeedableRng;
use rand::rngs::StdRng;

const A: usize = 1;
const B: usize = 2;
const LINKS: u8 = 3;
const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(10);
/// Frames are told from everything else by their length.
const FRAME_PAYLOAD: usize = 333;
const FRAME_LENGTH: usize = 28 + FRAME_PAYLOAD;
/// Header and verb, and nothing else.
const ECHO_LENGTH: usize = 28;

fn identity(seed: u64) -> SecretIdentity {
    SecretIdentity::generate(&mut StdRng::seed_from_u64(seed))
}

/// The address of a node's link; links of one number are connected with each other, and with the root.
fn ip(node: usize, link: u8) -> IpAddr {
    IpAddr::from([10, link, u8::try_from(node).unwrap(), 1])
}

fn endpoints(node: usize) -> Vec<SocketAddr> {
    (1..=LINKS)
        .map(|link| SocketAddr::new(ip(node, link), 9993))
        .collect()
}

fn policy(base: BasePolicy) -> PolicySettings {
    PolicySettings {
        failover_interval: Duration::from_millis(500),
        ..PolicySettings::standard(base)
    }
}

fn settings(policy: PolicySettings) -> Command {
    Command::SetBonding(Arc::new(BondSettings {
        default_policy: Arc::new(policy),
        ..BondSettings::default()
    }))
}

/// What makes a node one that nothing tells from an unmodified one.
fn plain() -> Command {
    Command::Configure(Box::new(Config {
        is_plain: true,
        ..Config::default()
    }))
}

/// Two nodes that know each other's addresses; each is told `bonding` of its own first.
fn two(seed: u64, bonding: [Option<PolicySettings>; 2]) -> Net {
    two_with(seed, bonding, &[])
}

/// The same; those in `plain_ones` are like unmodified nodes.
fn two_with(seed: u64, bonding: [Option<PolicySettings>; 2], plain_ones: &[usize]) -> Net {
    let root = identity(1);
    let at_root: SocketAddr = "10.9.9.9:9993".parse().unwrap();
    let planet = World::of_root(WorldKind::Planet, 77, 1, &root, vec![at_root]);
    let mut net = Net::new(seed, Conditions::default());
    net.add(root, &planet, &[at_root]);
    net.add(identity(2), &planet, &endpoints(A));
    net.add(identity(3), &planet, &endpoints(B));
    for (a, b) in (1..=LINKS).flat_map(|a| (1..=LINKS).map(move |b| (a, b))) {
        if a != b {
            net.block(ip(A, a), ip(B, b));
        }
    }
    for node in plain_ones {
        net.command(*node, plain());
    }
    for (node, policy) in [A, B].into_iter().zip(bonding) {
        if let Some(policy) = policy {
            net.command(node, settings(policy));
        }
    }
    net.run_for(SECOND);
    for (node, peer) in [(A, B), (B, A)] {
        let identity = net.nodes[peer].identity.public().clone();
        let endpoints = endpoints(peer);
        net.command(
            node,
            Command::LoadPeer {
                identity,
                endpoints,
            },
        );
    }
    net.run_for(SECOND);
    exchange(&mut net, 3 * SECOND);
    net
}

/// Frames both ways every 10 ms.
fn exchange(net: &mut Net, duration: Duration) {
    exchange_until(net, duration, |_| false);
}

/// The same until something is so. Returns how long that took.
fn exchange_until(
    net: &mut Net,
    at_most: Duration,
    mut done: impl FnMut(&Net) -> bool,
) -> Option<Duration> {
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    let start = net.now();
    while net.now().duration_since(start) < at_most {
        net.send(A, b, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.send(B, a, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.run_for(TICK);
        if done(net) {
            return Some(net.now().duration_since(start));
        }
    }
    None
}

fn entry(net: &Net, of: usize, peer: usize) -> &PeerEntry {
    let snapshot = net.nodes[of].snapshot.as_ref().unwrap();
    snapshot.peer(net.nodes[peer].address()).unwrap()
}

/// The number of the link, 1 to 3, that each slot of A's plan uses.
fn planned(net: &Net, of: usize, peer: usize) -> Vec<u8> {
    let entry = entry(net, of, peer);
    let number = |link: LinkId| {
        let position = net.nodes[of].links.iter().position(|l| l.id == link);
        u8::try_from(position.unwrap() + 1).unwrap()
    };
    let indices = entry.plan.paths().into_iter();
    indices
        .map(|index| number(entry.paths[usize::from(index)].key.link))
        .collect()
}

fn active(net: &Net) -> u8 {
    match planned(net, A, B)[..] {
        [link] => link,
        ref other => panic!("{other:?}"),
    }
}

fn block(net: &mut Net, link: u8) {
    net.block(ip(A, link), ip(B, link));
}

fn unblock(net: &mut Net, link: u8) {
    net.unblock(ip(A, link), ip(B, link));
}

/// Links that A's frames used since its `from`th datagram.
fn frames_by_link(net: &Net, from: usize) -> BTreeMap<u8, usize> {
    let node = &net.nodes[A];
    let mut links = BTreeMap::new();
    for transmit in &node.sent[from..] {
        if transmit.bytes.len() == FRAME_LENGTH {
            let link = transmit.link.unwrap();
            let position = node.links.iter().position(|l| l.id == link).unwrap();
            *links
                .entry(u8::try_from(position + 1).unwrap())
                .or_default() += 1;
        }
    }
    links
}

fn events(net: &Net, of: usize) -> Vec<&EventKind> {
    let events = net.nodes[of].events.iter();
    events
        .filter_map(|event| match event {
            Event::Bond { event, .. } => Some(&event.kind),
            _ => None,
        })
        .collect()
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
fn active_backup_leaves_a_dead_path_within_the_interval() {
    let mut net = two(3, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    block(&mut net, first);
    let took = exchange_until(&mut net, 5 * SECOND, |net| active(net) != first).unwrap();
    assert!(took <= Duration::from_millis(700), "{took:?}");
    // What the control plane sends itself follows.
    let from = net.nodes[A].sent.len();
    exchange(&mut net, SECOND);
    let second = active(&net);
    assert_eq!(
        frames_by_link(&net, from).into_keys().collect::<Vec<_>>(),
        [second]
    );
}

#[test]
fn active_backup_returns_to_the_primary_link_with_always() {
    let link = |name: &str, mode| LinkSettings {
        mode,
        ..LinkSettings::new(name)
    };
    let policy = PolicySettings {
        link_select: LinkSelectMethod::Always,
        links: vec![
            link("sim0", LinkMode::Spare),
            link("sim1", LinkMode::Primary),
            link("sim2", LinkMode::Spare),
        ],
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
    let link = |name: &str, mode| LinkSettings {
        mode,
        ..LinkSettings::new(name)
    };
    let ours = PolicySettings {
        links: vec![
            link("sim0", LinkMode::Primary),
            link("sim1", LinkMode::Primary),
            link("sim2", LinkMode::Spare),
        ],
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
    let link = |name: &str, mode| LinkSettings {
        mode,
        ..LinkSettings::new(name)
    };
    let ours = PolicySettings {
        links: vec![
            link("sim0", LinkMode::Spare),
            link("sim1", LinkMode::Primary),
            link("sim2", LinkMode::Spare),
        ],
        link_select: LinkSelectMethod::Always,
        ..policy(BasePolicy::ActiveBackup)
    };
    let theirs = PolicySettings {
        links: vec![link("elsewhere", LinkMode::Primary)],
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

#[test]
fn an_operator_rotates_within_a_round_trip() {
    let mut net = two(6, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let (first, peer, now) = (active(&net), net.nodes[B].address(), net.now());
    let order = bond::Command::Rotate {
        interface: None,
        sticky: true,
    };
    let answer = net.nodes[A].node.bond_command(now, peer, order);
    assert!(answer.is_ok(), "{answer:?}");
    net.handle(A, Input::Tick);
    net.run_for(TICK);
    assert_ne!(active(&net), first);
    let nobody = net.nodes[0].address();
    let order = bond::Command::LinkReset("sim0".into());
    assert!(net.nodes[A].node.bond_command(now, nobody, order).is_err());
}

#[test]
fn a_way_that_works_only_towards_us_is_left() {
    let mut net = two(7, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    net.block_one_way(ip(A, first), ip(B, first));
    let took = exchange_until(&mut net, 5 * SECOND, |net| active(net) != first).unwrap();
    assert!(took <= SECOND, "{took:?}");
}

#[test]
fn the_news_of_a_lost_carrier_needs_no_interval() {
    let mut net = two(8, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    let interface = format!("sim{}", first - 1);
    let event = LinkEvent::Down;
    net.command(A, Command::LinkState { interface, event });
    let from = net.nodes[A].sent.len();
    net.run_for(TICK);
    assert_ne!(active(&net), first);
    // Nothing goes into the void: no frame, no probe, no HELLO to whomever.
    let dead = net.nodes[A].links[usize::from(first) - 1].id;
    exchange(&mut net, 200 * SECOND);
    let sent = &net.nodes[A].sent[from..];
    assert!(sent.iter().any(|transmit| transmit.link.is_some()));
    assert!(
        sent.iter()
            .all(|transmit| transmit.link.is_some_and(|link| link != dead))
    );
    let event = LinkEvent::Up;
    let interface = format!("sim{}", first - 1);
    net.command(A, Command::LinkState { interface, event });
    exchange(&mut net, 2 * SECOND);
    let status = &net.nodes[A].node.bonds(net.now())[0];
    assert_eq!((status.alive_links, status.total_links), (3, 3));
}

#[test]
fn a_refused_datagram_is_news_too() {
    let mut net = two(9, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    let entry = entry(&net, A, B);
    let path = entry.paths[usize::from(entry.plan.paths()[0])].key;
    // EHOSTUNREACH
    net.handle(A, Input::SendFailed { path, errno: 113 });
    net.run_for(TICK);
    assert_ne!(active(&net), first);
}

#[test]
fn a_link_that_is_pulled_and_put_back_carries_again() {
    let mut net = two(10, [Some(policy(BasePolicy::BalanceXor)), None]);
    let all = net.nodes[A].links.clone();
    let mut links = all;
    let pulled = links.remove(1);
    net.nodes[A].links.clone_from(&links);
    net.command(A, Command::SetLinks(links.clone()));
    net.run_for(TICK);
    assert_eq!(
        planned(&net, A, B)
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len(),
        2
    );
    exchange(&mut net, 5 * SECOND);
    links.insert(
        1,
        node::io::Link {
            id: LinkId(1000),
            ..pulled
        },
    );
    net.nodes[A].links.clone_from(&links);
    net.command(A, Command::SetLinks(links));
    let paths = exchange_until(&mut net, 5 * SECOND, |net| {
        entry(net, A, B).paths.len() == 3
    });
    assert!(paths.unwrap() <= SECOND);
    let back = exchange_until(&mut net, 20 * SECOND, |net| planned(net, A, B).contains(&2));
    assert!(back.is_some(), "{:?}", net.nodes[A].node.bonds(net.now()));
}

/// Pauses between A's probes per path in 5 s with frames.
fn probe_pauses(net: &mut Net) -> Vec<Duration> {
    let from = net.nodes[A].sent.len();
    exchange(net, 5 * SECOND);
    let node = &net.nodes[A];
    let mut last = BTreeMap::new();
    let mut pauses = Vec::new();
    for (transmit, at) in node.sent.iter().zip(&node.sent_at).skip(from) {
        if transmit.bytes.len() == ECHO_LENGTH
            && let Some(before) = last.insert((transmit.link, transmit.to), *at)
        {
            pauses.push(at.duration_since(before));
        }
    }
    pauses
}

#[test]
fn probes_are_never_denser_than_a_stock_peer_answers() {
    let bonding = [Some(policy(BasePolicy::ActiveBackup)), None];
    let mut net = two_with(11, bonding, &[B]);
    let pauses = probe_pauses(&mut net);
    assert!(pauses.len() >= 10, "{}", pauses.len());
    let shortest = pauses.iter().min().unwrap();
    assert!(*shortest >= Duration::from_millis(166), "{shortest:?}");
}

#[test]
fn peers_of_our_kind_are_asked_more_often_and_answer_each_time() {
    // Probes a quarter of the failover interval apart, three times as many as a stock peer answers.
    let settings = PolicySettings {
        failover_interval: Duration::from_millis(200),
        ..policy(BasePolicy::ActiveBackup)
    };
    let mut net = two(11, [Some(settings), None]);
    let answered = |net: &Net| net.nodes[A].received(Verb::Ok);
    let before = answered(&net);
    let pauses = probe_pauses(&mut net);
    let shortest = pauses.iter().min().unwrap();
    // No unmodified node would answer that.
    assert!(*shortest < Duration::from_millis(166), "{shortest:?}");
    let answers = answered(&net) - before;
    assert!(
        answers + 4 >= pauses.len() as u64,
        "{answers} {}",
        pauses.len()
    );
}

#[test]
fn a_peer_that_comes_back_as_an_unmodified_node_is_taken_for_one() {
    let mut net = two(18, [Some(policy(BasePolicy::ActiveBackup)), None]);
    net.restart(B, &endpoints(B));
    net.command(B, plain());
    let a = net.nodes[A].identity.public().clone();
    let at_a = endpoints(A);
    net.command(
        B,
        Command::LoadPeer {
            identity: a,
            endpoints: at_a,
        },
    );
    exchange(&mut net, 2 * SECOND);
    let pauses = probe_pauses(&mut net);
    let shortest = pauses.iter().min().unwrap();
    assert!(*shortest >= Duration::from_millis(166), "{shortest:?}");
}

#[test]
fn a_peer_that_bonds_alone_gets_its_measurements() {
    let mut net = two_with(12, [None, Some(policy(BasePolicy::BalanceXor))], &[B]);
    exchange(&mut net, 5 * SECOND);
    let sent = net.nodes[A].node.status().counters.sent[Verb::QosMeasurement as usize];
    assert!(sent > 0);
    assert!(net.nodes[B].received(Verb::QosMeasurement) >= sent - 3);
    assert!(entry(&net, A, B).measured);
    assert!(net.nodes[A].node.bonds(net.now()).is_empty());
    // What B measures is a round trip of 10 ms.
    let bonds = net.nodes[B].node.bonds(net.now());
    for path in &bonds[0].paths {
        let latency = path.latency.unwrap();
        assert!((4..=7).contains(&latency.as_millis()), "{latency:?}");
    }
}

#[test]
fn nodes_that_only_answer_each_other_come_to_rest() {
    let mut net = two_with(15, [Some(policy(BasePolicy::BalanceXor)), None], &[A]);
    let reports = |net: &Net| {
        [A, B].map(|n| net.nodes[n].node.status().counters.sent[Verb::QosMeasurement as usize])
    };
    assert!(entry(&net, B, A).measured);
    net.command(A, settings(PolicySettings::default()));
    net.run_for(TICK);
    let ended = reports(&net);
    for _ in 0..80 {
        let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
        net.send(A, b, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.send(B, a, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.run_for(SECOND);
    }
    let rested = reports(&net);
    assert_eq!(rested[0], ended[0]);
    assert!(rested[1] > ended[1]);
    exchange(&mut net, 10 * SECOND);
    assert_eq!(reports(&net), rested);
    assert!(!entry(&net, A, B).measured && !entry(&net, B, A).measured);
}

#[test]
fn a_peer_that_goes_on_measuring_is_answered_again_after_a_pause() {
    let mut net = two_with(16, [None, Some(policy(BasePolicy::BalanceXor))], &[B]);
    let mut quiet = 0;
    let mut last = 0;
    for _ in 0..700 {
        exchange(&mut net, TICK);
        net.run_for(SECOND);
        let sent = net.nodes[A].node.status().counters.sent[Verb::QosMeasurement as usize];
        quiet = if sent == last { quiet + 1 } else { 0 };
        last = sent;
        assert!(quiet < 100);
    }
    let bonds = net.nodes[B].node.bonds(net.now());
    assert_eq!(bonds[0].alive_links, 3);
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

/// The side without a bond uses what the bonded side uses, instead of 19 s of silence.
#[test]
fn a_node_without_a_bond_follows_a_peer_of_our_kind_that_has_one() {
    for seed in [31, 32, 33] {
        let mut net = two(seed, [Some(policy(BasePolicy::ActiveBackup)), None]);
        let used = |net: &Net| planned(net, B, A)[0];
        let first = used(&net);
        block(&mut net, first);
        let took = exchange_until(&mut net, 5 * SECOND, |net| used(net) != first);
        let took = took.expect("it follows");
        assert!(took <= SECOND, "{took:?}");
        let next = used(&net);
        assert_eq!(active(&net), next);
        let received = net.nodes[A].received(Verb::Frame);
        exchange(&mut net, SECOND);
        assert!(net.nodes[A].received(Verb::Frame) - received >= 99);
        // Nothing drives it back and forth.
        unblock(&mut net, first);
        let moved = exchange_until(&mut net, 30 * SECOND, |net| used(net) != next);
        assert_eq!(moved, None);
    }
}

/// Workers tell of the first packet of an idle bond, whatever it is; the bond asks its paths at once.
#[test]
fn the_first_packet_of_an_idle_bond_starts_a_probe() {
    for plain in [&[][..], &[B][..]] {
        let mut net = two_with(23, [Some(policy(BasePolicy::ActiveBackup)), None], plain);
        exchange(&mut net, 3 * SECOND);
        assert!(!entry(&net, A, B).idle);
        // Probes are rare by now: unmodified nodes answer no second one within 170 ms.
        net.run_for(100 * SECOND);
        let shown = entry(&net, A, B);
        assert!(shown.idle);
        let used = usize::from(shown.plan.paths()[0]);
        shown.paths[used].activity.packets_sent.add(1);
        let (peer, from) = (net.nodes[B].address(), net.nodes[A].sent.len());
        let sent = [peer];
        net.handle(
            A,
            Input::Lanes {
                arrivals: &[],
                sent: &sent,
            },
        );
        let probes = &net.nodes[A].sent[from..];
        assert!(!probes.is_empty(), "{plain:?}");
        net.run_for(TICK);
        assert!(!entry(&net, A, B).idle);
    }
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
fn what_workers_saw_reaches_the_bond() {
    let mut net = two_with(17, [Some(policy(BasePolicy::BalanceXor)), None], &[B]);
    let reports = |net: &Net| net.nodes[B].received(Verb::QosMeasurement);
    // Nothing but probes for a while, so that all reports are sent.
    net.run_for(20 * SECOND);
    let (peer, now, before) = (net.nodes[B].address(), net.now(), reports(&net));
    let shown = entry(&net, A, B);
    let paths: Vec<_> = shown.paths.iter().map(|p| p.key).collect();
    let activity = Arc::clone(&shown.paths[0].activity);
    let remote = paths[0].remote;
    assert!(shown.duplicates.is_none());
    let sample = |path: usize, id| Sample {
        peer,
        path: paths[path],
        packet: PacketId(id),
        at: now,
        sent: false,
    };
    net.handle(A, Input::Samples(&[sample(0, 11), sample(1, 13)]));
    activity.packets_sent.add(5);
    activity.bytes_sent.add(5000);
    activity.packets_received.add(3);
    activity.bytes_received.add(3000);
    activity.authentic.set(now);
    let total = |net: &Net| {
        let bonds = net.nodes[A].node.bonds(net.now());
        let mut statuses = bonds[0].paths.iter();
        statuses.find(|p| p.remote == remote).unwrap().bytes
    };
    let (sent, received) = total(&net);
    net.run_for(2 * SECOND);
    assert!(reports(&net) >= before + 2);
    let (sent_now, received_now) = total(&net);
    assert_eq!(sent_now - sent, 5000);
    // Answers to probes came besides.
    assert!((3000..3500).contains(&(received_now - received)));
    // The same packet on another path: this peer sends copies.
    net.handle(A, Input::Samples(&[sample(1, 11)]));
    net.run_for(TICK);
    assert!(entry(&net, A, B).duplicates.is_some());
}

#[test]
fn reports_that_overtake_a_worker_are_no_loss() {
    let mut net = two(18, [Some(policy(BasePolicy::BalanceXor)), None]);
    net.run_for(5 * SECOND);
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    let there = entry(&net, A, B).paths[0].key;
    let local = net.nodes[A]
        .links
        .iter()
        .find(|l| l.id == there.link)
        .unwrap()
        .local;
    let back = entry(&net, B, A)
        .paths
        .iter()
        .find(|p| p.key.remote == local);
    let back = back.unwrap().key;
    let sample = |peer, path, sent, at, n: u64| Sample {
        peer,
        path,
        packet: PacketId(2 * n + 1),
        at,
        sent,
    };
    // B hears of each packet at once, A only 80 ms later.
    let mut sent = Vec::new();
    for n in 0..500 {
        let now = net.now();
        net.handle(B, Input::Samples(&[sample(a, back, false, now, n)]));
        sent.push(sample(b, there, true, now, n));
        if let Some(late) = sent.iter().nth_back(2) {
            net.handle(A, Input::Samples(&[*late]));
        }
        net.run_for(Duration::from_millis(40));
    }
    let bonds = net.nodes[A].node.bonds(net.now());
    for path in &bonds[0].paths {
        assert!(path.loss < 0.001, "{path:?}");
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

fn messages(net: &Net, node: usize) -> (u64, u64) {
    let counters = net.nodes[node].node.status().counters;
    let verb = Verb::UserMessage as usize;
    (counters.sent[verb], counters.received[verb])
}

/// The loss that A's bond measures on each path.
fn losses(net: &Net) -> Vec<f64> {
    let bonds = net.nodes[A].node.bonds(net.now());
    let paths = bonds[0].paths.iter();
    paths.map(|path| path.loss).collect()
}

#[test]
fn peers_of_our_kind_report_what_arrives() {
    for bonding in [None, Some(policy(BasePolicy::BalanceRr))] {
        let mut net = two(21, [Some(policy(BasePolicy::BalanceRr)), bonding]);
        net.conditions.loss_per_mille = 100;
        let before = messages(&net, A).1;
        // Each figure is told from a few seconds only: their mean is steadier.
        let mut sums = [0.0; 3];
        for _ in 0..20 {
            exchange(&mut net, SECOND);
            for (sum, loss) in sums.iter_mut().zip(losses(&net)) {
                *sum += loss;
            }
        }
        for sum in sums {
            let mean = sum / 20.0;
            assert!((0.05..0.2).contains(&mean), "{mean}");
        }
        // Ten a second, some of which get lost; more where losses look like silence.
        let told = messages(&net, A).1 - before;
        assert!((150..1000).contains(&told), "{told}");
        // No traffic, no reports.
        net.run_for(6 * SECOND);
        let (at_rest, _) = (messages(&net, A), messages(&net, B));
        net.run_for(20 * SECOND);
        assert_eq!(messages(&net, A), at_rest);
    }
}

#[test]
fn nothing_is_reported_to_or_asked_of_unmodified_nodes() {
    let both = || Some(policy(BasePolicy::BalanceRr));
    let mut net = two_with(22, [both(), both()], &[B]);
    exchange(&mut net, 5 * SECOND);
    assert_eq!((messages(&net, A), messages(&net, B)), ((0, 0), (0, 0)));
    let shown = entry(&net, A, B);
    assert!(shown.sampled && shown.numbering.is_none() && shown.counted.is_none());
    assert!(shown.paths.iter().all(|path| path.lanes.is_none()));
}

#[test]
fn a_path_that_fails_in_our_direction_alone_is_left_on_the_peers_word() {
    for bonding in [None, Some(policy(BasePolicy::ActiveBackup))] {
        let mut net = two(23, [Some(policy(BasePolicy::ActiveBackup)), bonding]);
        exchange(&mut net, 5 * SECOND);
        let failed = active(&net);
        net.block_one_way(ip(A, failed), ip(B, failed));
        let left = exchange_until(&mut net, 2 * SECOND, |net| active(net) != failed);
        let left = left.expect("it was never left");
        assert!(left <= Duration::from_millis(250), "{left:?}");
    }
}

#[test]
fn a_peer_that_starts_anew_counts_anew() {
    let both = || Some(policy(BasePolicy::BalanceRr));
    let mut net = two(24, [both(), both()]);
    exchange(&mut net, 3 * SECOND);
    let origin = entry(&net, A, B).counted.unwrap();
    net.restart(B, &endpoints(B));
    net.command(B, settings(policy(BasePolicy::BalanceRr)));
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    let identity = net.nodes[A].identity.public().clone();
    let endpoints = endpoints(A);
    net.command(
        B,
        Command::LoadPeer {
            identity,
            endpoints,
        },
    );
    exchange(&mut net, 10 * SECOND);
    let again = entry(&net, A, B).counted.unwrap();
    assert_ne!(again, origin);
    let before = (messages(&net, A).1, net.nodes[B].received(Verb::Frame));
    exchange(&mut net, 10 * SECOND);
    assert!(messages(&net, A).1 > before.0 + 80);
    assert_eq!(net.nodes[B].received(Verb::Frame), before.1 + 1000);
    for (node, peer) in [(A, b), (B, a)] {
        let bonds = net.nodes[node].node.bonds(net.now());
        assert_eq!((bonds[0].peer, bonds[0].alive_links), (peer, 3));
        for path in &bonds[0].paths {
            assert!(path.loss < 0.01, "{path:?}");
        }
    }
}
