//! Row 32: two bonded nodes and a root for a day of virtual time, while links fail, carriers go and settings change.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bond::{BasePolicy, BondSettings, PolicySettings};
use node::io::Command;
use node::testing::{Conditions, Net, identity};
use protocol::Verb;
use protocol::world::{World, WorldKind};

use crate::{Measurement, live_bytes, settings};

const A: usize = 1;
const B: usize = 2;
const LINKS: u8 = 3;
const HOURS: usize = 24;
/// Of each hour, minute by minute: traffic while a link fails and comes back, a carrier that goes, new settings, silence.
const MINUTES: usize = 60;
/// Between two frames in each direction, while there is traffic: as much as detection under load asks for.
const FRAME_INTERVAL: Duration = Duration::from_millis(20);
const FRAME: [u8; 333] = [0; 333];
/// What tables that fill and empty may add by chance where the hour is cut; less than one entry for each flap of the day.
const CHANCE: usize = 4096;

/// Two nodes with three links each, and a root.
pub(crate) struct Soak {
    net: Net,
    reloads: usize,
}

fn ip(node: usize, link: u8) -> IpAddr {
    IpAddr::from([10, link, node as u8, 1])
}

fn endpoints(node: usize) -> Vec<SocketAddr> {
    (1..=LINKS)
        .map(|link| SocketAddr::new(ip(node, link), 9993))
        .collect()
}

fn bonding(base: BasePolicy) -> Command {
    Command::SetBonding(Arc::new(BondSettings {
        default_policy: Arc::new(PolicySettings::standard(base)),
        ..BondSettings::default()
    }))
}

impl Soak {
    /// Without a policy there are no bonds.
    pub(crate) fn new(policy: Option<BasePolicy>) -> Self {
        let root = identity(1);
        let at_root = SocketAddr::from(([10, 9, 9, 9], 9993));
        let planet = World::of_root(WorldKind::Planet, 77, 1, &root, vec![at_root]);
        let mut net = Net::new(32, Conditions::default());
        net.add(root, &planet, &[at_root]);
        net.add(identity(2), &planet, &endpoints(A));
        net.add(identity(3), &planet, &endpoints(B));
        net.pair_interfaces(A, B);
        for (node, peer) in [(A, B), (B, A)] {
            if let Some(base) = policy {
                net.command(node, bonding(base));
            }
            net.run_for(Duration::from_secs(1));
            net.introduce(node, peer);
        }
        Self { net, reloads: 0 }
    }

    /// Lets time pass, with frames both ways or in silence. What the world keeps for tests to look at is dropped.
    pub(crate) fn pass(&mut self, duration: Duration, with_traffic: bool) {
        let net = &mut self.net;
        let addresses = [A, B].map(|node| net.nodes[node].address());
        let end = net.now() + duration;
        while net.now() < end {
            if with_traffic {
                net.send(A, addresses[1], Verb::Frame, &FRAME);
                net.send(B, addresses[0], Verb::Frame, &FRAME);
                net.run_for(FRAME_INTERVAL);
            } else {
                net.run_for(Duration::from_secs(1));
            }
            for node in &mut net.nodes {
                node.sent = Vec::new();
                node.sent_at = Vec::new();
                node.delivered = Vec::new();
                node.events = Vec::new();
                node.ports = Vec::new();
            }
        }
    }

    fn reload(&mut self) {
        self.reloads += 1;
        let base = BasePolicy::ALL[self.reloads % BasePolicy::ALL.len()];
        for node in [A, B] {
            self.net.command(node, bonding(base));
        }
    }

    fn minute(&mut self, number: usize) {
        let link = (number % usize::from(LINKS)) as u8 + 1;
        match number % 6 {
            0 => {
                self.net.block(ip(A, link), ip(B, link));
                self.pass(Duration::from_secs(3), true);
                self.net.unblock(ip(A, link), ip(B, link));
                self.pass(Duration::from_secs(7), true);
            }
            1 => {
                let all = self.net.nodes[A].links.clone();
                let mut fewer = all.clone();
                fewer.remove(usize::from(link) - 1);
                self.net.command(A, Command::SetLinks(fewer));
                self.pass(Duration::from_secs(2), true);
                self.net.command(A, Command::SetLinks(all));
                self.pass(Duration::from_secs(5), true);
            }
            2 => {
                self.reload();
                self.pass(Duration::from_secs(3), true);
            }
            3 => {
                self.net.block_one_way(ip(A, link), ip(B, link));
                self.pass(Duration::from_secs(3), true);
                self.net.unblock(ip(A, link), ip(B, link));
            }
            _ => {}
        }
    }

    /// An hour, and what is allocated at its end: after some minutes of silence, under the settings of the start.
    fn hour(&mut self) -> usize {
        for minute in 0..MINUTES {
            let start = self.net.now();
            if minute + 10 < MINUTES {
                self.minute(minute);
            } else if minute + 10 == MINUTES {
                for node in [A, B] {
                    self.net.command(node, bonding(BasePolicy::BalanceAware));
                }
                self.pass(Duration::from_secs(30), true);
            }
            let spent = self.net.now().duration_since(start);
            self.pass(Duration::from_secs(60).saturating_sub(spent), false);
        }
        live_bytes()
    }

    fn is_whole(&self) -> bool {
        let peer = self.net.nodes[B].address();
        self.net.nodes[A].live_paths(self.net.now(), peer).len() == usize::from(LINKS)
    }
}

pub(crate) fn measure() -> Measurement {
    let fuzz = settings::fuzz();
    let soaked = std::panic::catch_unwind(|| {
        let mut soak = Soak::new(Some(BasePolicy::BalanceAware));
        let hours: Vec<usize> = (0..HOURS).map(|_| soak.hour()).collect();
        (hours, soak.is_whole(), soak.reloads)
    });
    let untold = match fuzz.untold.len() {
        0 => String::new(),
        count => format!(
            ", {count} wrong types not told ({})",
            fuzz.untold.join(", ")
        ),
    };
    let fuzzed = format!(
        "{} attempts at settings: {} crashes{untold}",
        fuzz.attempts, fuzz.crashes
    );
    let Ok((hours, is_whole, reloads)) = soaked else {
        return Measurement {
            text: format!("the soak crashed; {fuzzed}"),
            holds: false,
        };
    };
    let (first, rest) = (hours[0], &hours[1..]);
    let most = rest.iter().copied().max().unwrap_or(first);
    // Later hours against earlier ones: a leak is a trend.
    let (early, late) = rest.split_at(rest.len() / 2);
    let least = |hours: &[usize]| hours.iter().copied().min().unwrap_or(0);
    let trend = least(late) as i64 - least(early) as i64;
    let grows = most > first + CHANCE || trend > CHANCE as i64 / 4;
    let whole = if is_whole { "all" } else { "NOT all" };
    Measurement {
        text: format!(
            "{first} bytes after 1 h, at most {most} later, trend {trend} bytes in half a day, {reloads} reloads, {whole} \
             paths alive at the end; {fuzzed}"
        ),
        holds: !grows && is_whole && fuzz.crashes == 0 && fuzz.untold.is_empty(),
    }
}
