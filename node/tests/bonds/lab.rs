//! The world, and what it looks like from inside.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bond::{BasePolicy, BondSettings, EventKind, PolicySettings};
use node::io::{Command, Config, Event, LinkId};
use node::snapshot::PeerEntry;
use node::testing::{Conditions, Net, identity};
use protocol::Verb;
use protocol::world::{World, WorldKind};

pub(crate) const A: usize = 1;
pub(crate) const B: usize = 2;
pub(crate) const LINKS: u8 = 3;
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Frames are told from everything else by their length.
pub(crate) const FRAME_PAYLOAD: usize = 333;
pub(crate) const FRAME_LENGTH: usize = 28 + FRAME_PAYLOAD;
/// Header and verb, and nothing else.
pub(crate) const ECHO_LENGTH: usize = 28;

/// The address of a node's link; links of one number are connected with each other, and with the root.
pub(crate) fn ip(node: usize, link: u8) -> IpAddr {
    IpAddr::from([10, link, u8::try_from(node).unwrap(), 1])
}

pub(crate) fn endpoints(node: usize) -> Vec<SocketAddr> {
    (1..=LINKS)
        .map(|link| SocketAddr::new(ip(node, link), 9993))
        .collect()
}

pub(crate) fn policy(base: BasePolicy) -> PolicySettings {
    PolicySettings {
        failover_interval: Duration::from_millis(500),
        ..PolicySettings::standard(base)
    }
}

pub(crate) fn settings(policy: PolicySettings) -> Command {
    Command::SetBonding(Arc::new(BondSettings {
        default_policy: Arc::new(policy),
        ..BondSettings::default()
    }))
}

/// What makes a node one that nothing tells from an unmodified one.
pub(crate) fn plain() -> Command {
    Command::Configure(Box::new(Config {
        is_plain: true,
        ..Config::default()
    }))
}

/// Two nodes that know each other's addresses; each is told `bonding` of its own first.
pub(crate) fn two(seed: u64, bonding: [Option<PolicySettings>; 2]) -> Net {
    two_with(seed, bonding, &[])
}

/// The same; those in `plain_ones` are like unmodified nodes.
pub(crate) fn two_with(
    seed: u64,
    bonding: [Option<PolicySettings>; 2],
    plain_ones: &[usize],
) -> Net {
    let root = identity(1);
    let at_root: SocketAddr = "10.9.9.9:9993".parse().unwrap();
    let planet = World::of_root(WorldKind::Planet, 77, 1, &root, vec![at_root]);
    let mut net = Net::new(seed, Conditions::default());
    net.add(root, &planet, &[at_root]);
    net.add(identity(2), &planet, &endpoints(A));
    net.add(identity(3), &planet, &endpoints(B));
    net.pair_interfaces(A, B);
    for node in plain_ones {
        net.command(*node, plain());
    }
    for (node, policy) in [A, B].into_iter().zip(bonding) {
        if let Some(policy) = policy {
            net.command(node, settings(policy));
        }
    }
    net.run_for(SECOND);
    net.introduce(A, B);
    net.introduce(B, A);
    net.run_for(SECOND);
    exchange(&mut net, 3 * SECOND);
    net
}

/// Frames both ways every 10 ms.
pub(crate) fn exchange(net: &mut Net, duration: Duration) {
    exchange_until(net, duration, |_| false);
}

/// The same until something is so. Returns how long that took.
pub(crate) fn exchange_until(
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

pub(crate) fn entry(net: &Net, of: usize, peer: usize) -> &PeerEntry {
    let snapshot = net.nodes[of].snapshot.as_ref().unwrap();
    snapshot.peer(net.nodes[peer].address()).unwrap()
}

/// The number of the link, 1 to 3, that each slot or turn of a plan uses.
pub(crate) fn planned(net: &Net, of: usize, peer: usize) -> Vec<u8> {
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

pub(crate) fn active(net: &Net) -> u8 {
    match planned(net, A, B)[..] {
        [link] => link,
        ref other => panic!("{other:?}"),
    }
}

pub(crate) fn block(net: &mut Net, link: u8) {
    net.block(ip(A, link), ip(B, link));
}

pub(crate) fn unblock(net: &mut Net, link: u8) {
    net.unblock(ip(A, link), ip(B, link));
}

/// Links that A's frames used since its `from`th datagram.
pub(crate) fn frames_by_link(net: &Net, from: usize) -> BTreeMap<u8, usize> {
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

pub(crate) fn events(net: &Net, of: usize) -> Vec<&EventKind> {
    let events = net.nodes[of].events.iter();
    events
        .filter_map(|event| match event {
            Event::Bond { event, .. } => Some(&event.kind),
            _ => None,
        })
        .collect()
}

/// Pauses between A's probes per path in 5 s with frames.
pub(crate) fn probe_pauses(net: &mut Net) -> Vec<Duration> {
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
