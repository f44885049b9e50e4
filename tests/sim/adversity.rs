//! Bonds of every policy over two to eight links that differ in rate, delay, jitter and loss, and that fail in every way: what
//! must hold whatever happens. Each run follows from its seed. `HAWSER_SIM_SEED` repeats one, `HAWSER_SIM_MINUTES` says how
//! much virtual time each policy gets (160 s by default).

mod causes;
mod fault;

use std::collections::BTreeMap;
use std::time::Duration;

use bond::{BasePolicy, EventKind};
use node::io::Link;
use node::testing::Conditions;
use protocol::Instant;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use self::causes::Causes;
use self::fault::{Fault, State};
use crate::flows::linux_flows;
use crate::multipath::{A, B, KINDS, Kind, Multipath, ip, ms, policy, seconds};

/// With a link that works in both directions, something of each flow arrives at least this often, and no link that is known to
/// fail carries a flow for longer: detection, a failed try of another link, detection again, and a packet.
const PATIENCE: Duration = seconds(6);
/// How often the world is looked at.
const LOOK: Duration = ms(100);
/// Flows each way.
const FLOWS: u16 = 12;
/// In place of the number of a link: the interface is not there any more.
const GONE: u8 = 0;

struct Scenario {
    net: Multipath,
    kind: Kind,
    base: BasePolicy,
    random: StdRng,
    links: BTreeMap<u8, State>,
    /// A's interfaces, all of them, and how many were put back so far.
    interfaces: Vec<Link>,
    sockets: u32,
    title: String,
    /// Some wire doubles packets.
    doubles: bool,
    begun: Instant,
    /// Since when some link works.
    reachable: Option<Instant>,
    /// What the bonds of A and B moved, and why.
    causes: [Causes; 2],
    /// What came twice before the scenario began, by node.
    repeated: BTreeMap<usize, u64>,
    /// When a link last carried less than it was given: packets of some flow may then all come too late for its queue.
    last_overload: Instant,
}

fn seeds() -> Vec<u64> {
    let said = std::env::var("HAWSER_SIM_SEED").ok();
    match said.and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => vec![1, 2],
    }
}

fn virtual_time() -> Duration {
    let said = std::env::var("HAWSER_SIM_MINUTES").ok();
    match said.and_then(|minutes| minutes.parse::<u64>().ok()) {
        Some(minutes) => seconds(60 * minutes),
        None => seconds(160),
    }
}

/// Parameters that an operator may choose.
fn parameters(random: &mut StdRng, base: BasePolicy) -> Value {
    let interval = [250, 500, 1000, 2000][random.next_u32() as usize % 4];
    let delay = [0, 0, 1000][random.next_u32() as usize % 3];
    let mut parameters = json!({"failoverInterval": interval, "upDelay": delay});
    if base == BasePolicy::BalanceAware {
        let strategy = ["passive", "opportunistic", "aggressive"][random.next_u32() as usize % 3];
        parameters["rebalanceStrategy"] = json!(strategy);
    }
    parameters
}

impl Scenario {
    fn new(seed: u64, base: BasePolicy) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ u64::from(base.code()) << 32);
        let mut pick = |below: u32| random.next_u32() % below;
        let count = 2 + pick(7) as u8;
        let wires: Vec<_> = (0..count)
            .map(|_| {
                let conditions = Conditions {
                    delay: ms(1 + u64::from(pick(60))),
                    jitter: ms(u64::from(pick(15))),
                    loss_per_mille: [0, 0, 0, 10, 30][pick(5) as usize],
                    duplicate_per_mille: [0, 0, 5][pick(3) as usize],
                };
                let rate = [None, Some(20_000_000), Some(4_000_000)][pick(3) as usize];
                (conditions, rate)
            })
            .collect();
        let doubles = wires
            .iter()
            .any(|(conditions, _)| conditions.duplicate_per_mille > 0);
        let both_bond = pick(3) > 0;
        let is_plain = pick(2) > 0;
        let parameters = parameters(&mut random, base);
        let title = format!(
            "seed {seed}, {base} {parameters}, {count} links, both bond: {both_bond}, plain: {is_plain}"
        );
        let settings = policy(base.name(), parameters);
        let other = if both_bond {
            settings.clone()
        } else {
            json!({})
        };
        let kind = KINDS[usize::from(is_plain)];
        let mut net = Multipath::of_kind(kind, seed, count, [settings, other]);
        let begun = net.now() + seconds(5);
        let mut links = BTreeMap::new();
        for (link, (conditions, rate)) in (1..).zip(wires) {
            net.both(link, |wire| {
                (wire.conditions, wire.rate) = (conditions, rate)
            });
            let loss = conditions.loss_per_mille;
            links.insert(
                link,
                State {
                    fault: None,
                    since: begun,
                    until: begun,
                    rate,
                    loss,
                },
            );
        }
        // Twelve flows of ten packets per second each way.
        net.load(A, &linux_flows(FLOWS), ms(100));
        net.load(B, &linux_flows(FLOWS), ms(100));
        net.run(seconds(5));
        let repeated = net.received.iter();
        let repeated = repeated.map(|(node, received)| (*node, received.repeated()));
        Self {
            kind,
            base,
            random,
            links,
            interfaces: net.world.net.nodes[A].links.clone(),
            sockets: 0,
            title,
            doubles,
            begun,
            reachable: None,
            causes: [A, B].map(|_| Causes::new(begun)),
            repeated: repeated.collect(),
            last_overload: begun,
            net,
        }
    }

    fn pick(&mut self, below: u32) -> u32 {
        self.random.next_u32() % below
    }

    fn run(&mut self, time: Duration) {
        let end = self.net.now() + time;
        while self.net.now() < end {
            let changed = self.change_links();
            self.flap();
            self.net.run(LOOK);
            let restless = self.links.values().any(State::is_restless);
            self.look_for_moves(changed || restless);
            let works = self.links.values().any(State::works);
            let now = self.net.now();
            if self
                .links
                .values()
                .any(|state| state.fault == Some(Fault::Slow))
            {
                self.last_overload = now;
            }
            if !works {
                self.reachable = None;
            } else if self.reachable.is_none() {
                self.reachable = Some(now);
                // What was missed until now was nobody's fault.
                self.net.forgive_gaps();
            }
            if self
                .reachable
                .is_some_and(|since| now.duration_since(since) > PATIENCE)
            {
                self.check_arrivals();
                self.check_plans();
            }
            self.net.forget_old();
        }
        self.check_totals(time);
    }

    /// Connectivity, and no flow starves unless a link is overloaded.
    fn check_arrivals(&self) {
        let now = self.net.now();
        let may_starve = now.duration_since(self.last_overload) <= 2 * PATIENCE;
        for (node, receiver) in &self.net.received {
            // Who is not bonded takes its time to leave a dead path.
            if self.net.bond(A + B - node).is_none() {
                continue;
            }
            for (flow, received) in &receiver.flows {
                let silence = received.silence(now);
                assert!(
                    may_starve || silence <= 2 * PATIENCE,
                    "{}: flow {} to node {node} silent for {silence:?}\n{:#?}\n{:#?}",
                    self.title,
                    flow.source,
                    self.links,
                    self.net.bond(A + B - node)
                );
            }
            let silence = receiver
                .flows
                .values()
                .map(|received| received.silence(now))
                .min();
            assert!(
                silence.is_some_and(|silence| silence <= PATIENCE),
                "{}: {silence:?}\n{:#?}",
                self.title,
                self.links
            );
        }
    }

    /// Nothing is planned over what has long been dead.
    fn check_plans(&self) {
        let now = self.net.now();
        for node in [A, B] {
            let Some(bond) = self.net.bond(node) else {
                continue;
            };
            let planned = self.planned(node);
            assert!(
                !planned.contains(&GONE),
                "{}: node {node} uses an interface that is gone\n{bond:#?}",
                self.title
            );
            for (link, state) in &self.links {
                let at_once = node == A && state.is_told();
                let patience = if at_once { LOOK } else { PATIENCE };
                if state.is_dead(node) && now.duration_since(state.since) > patience {
                    assert!(
                        !planned.contains(link),
                        "{}: node {node} uses link {link}: {state:?}\n{bond:#?}",
                        self.title
                    );
                }
            }
        }
    }

    /// A path of a node's plan as the number of its link.
    fn link_of(&self, node: usize, path: u8) -> Option<u8> {
        let key = self.net.entry(node)?.paths.get(usize::from(path))?.key;
        let links = &self.net.world.net.nodes[node].links;
        let Some(own) = links.iter().find(|own| own.id == key.link) else {
            return Some(GONE);
        };
        let links = self.net.links();
        links
            .into_iter()
            .find(|link| ip(node, *link) == own.local.ip())
    }

    /// The link of each turn or slot of a node's plan. Interfaces come and go, so that their place among others tells nothing.
    fn planned(&self, of: usize) -> Vec<u8> {
        let paths = self.net.entry(of).map(|entry| entry.plan.paths());
        let paths = paths.unwrap_or_default().into_iter();
        paths.filter_map(|path| self.link_of(of, path)).collect()
    }

    /// What comes twice is delivered once: between nodes of our kind, and by whoever broadcasts itself.
    fn check_repeats(&self) {
        let bonds = |node| self.net.bond(node).is_some();
        let doubles = self.doubles;
        for (node, received) in &self.net.received {
            let (sender, base) = (A + B - node, self.base);
            let repeated = received.repeated() - self.repeated[node];
            let drops = match self.kind {
                Kind::Ours => base != BasePolicy::None,
                Kind::Plain => base == BasePolicy::Broadcast && bonds(*node),
            };
            // Whatever a wire doubles comes twice to an unmodified node, as does what is broadcast to it.
            let at_most = match (drops, base == BasePolicy::Broadcast && bonds(sender)) {
                (true, _) => 0,
                (false, true) => continue,
                (false, false) if doubles => received.packets() / 100 + 10,
                (false, false) => 0,
            };
            assert!(
                repeated <= at_most,
                "{}: {repeated} packets came twice to node {node}",
                self.title
            );
        }
    }

    /// Probes, copies, order and growth over the whole run.
    fn check_totals(&mut self, time: Duration) {
        let run = time.as_secs() + 5;
        self.check_repeats();
        self.check_move_counts();
        for node in [A, B] {
            let links = self.net.links();
            let probes: Vec<u64> = links.map(|link| self.net.probes(node, link)).collect();
            // One per 60 ms under load, and answers' retries.
            assert!(
                probes.iter().all(|probes| *probes <= run * 20)
                    && probes.iter().sum::<u64>() <= run * 18 * probes.len() as u64,
                "{}: {probes:?} probes over the links in {run} s",
                self.title
            );
            let events = self.net.events(node);
            assert!(
                events.len() as u64 <= run * 20 + 200,
                "{}: {} events",
                self.title,
                events.len()
            );
            let sim = &self.net.world.net.nodes[node];
            assert!(
                sim.turns <= run * 5000,
                "{}: {} turns",
                self.title,
                sim.turns
            );
            assert!(
                (sim.publications as u64) <= run * 50 + 500,
                "{}: {} publications",
                self.title,
                sim.publications
            );
            if let Some(bond) = self.net.bond(node) {
                assert!(
                    bond.paths.len() <= self.links.len() + 1,
                    "{}: {:#?}",
                    self.title,
                    bond.paths
                );
                let sum: f64 = bond.paths.iter().map(|path| path.allocation).sum();
                assert!(
                    sum < 1e-6 || (sum - 1.0).abs() < 1e-6,
                    "{}: {sum}",
                    self.title
                );
            }
            let moved = events.iter().filter(|event| {
                matches!(
                    event,
                    EventKind::FlowsMoved { .. }
                        | EventKind::ActiveChanged { .. }
                        | EventKind::Rebalanced { .. }
                )
            });
            let moved = moved.count() as u64;
            let base = self.net.bond(node).map(|bond| bond.base);
            if matches!(
                base,
                Some(BasePolicy::BalanceXor | BasePolicy::BalanceAware | BasePolicy::ActiveBackup)
            ) {
                // Each of twelve flows at most a packet or two per event: ten per second, and delays that differ by less than 200 ms.
                let overtaken = self.net.received[&(A + B - node)].overtaken();
                assert!(
                    overtaken <= 24 * moved,
                    "{}: {overtaken} overtaken, {moved} moves",
                    self.title
                );
            }
        }
    }
}

#[test]
fn links_that_fail_in_every_way() {
    for seed in seeds() {
        println!("seed {seed} (HAWSER_SIM_SEED={seed} repeats this run)");
        for base in BasePolicy::ALL {
            let mut scenario = Scenario::new(seed, base);
            println!("{}", scenario.title);
            scenario.run(virtual_time());
        }
    }
}
