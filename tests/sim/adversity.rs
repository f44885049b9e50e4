//! Bonds of every policy over two to eight links that differ in rate, delay, jitter and loss, and that fail in every way: what
//! must hold whatever happens. Each run follows from its seed. `HAWSER_SIM_SEED` repeats one, `HAWSER_SIM_MINUTES` says how
//! much virtual time each policy gets (45 s by default).

use std::collections::BTreeMap;
use std::time::Duration;

use bond::{BasePolicy, EventKind, LinkEvent};
use node::io::Command;
use node::testing::Conditions;
use protocol::Instant;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::flows::linux_flows;
use crate::multipath::{A, B, KINDS, Multipath, ms, policy, seconds};

/// With a link that works in both directions, something of each flow arrives at least this often, and no link that is known to
/// fail carries a flow for longer: detection, a failed try of another link, detection again, and a packet.
const PATIENCE: Duration = seconds(6);
/// A flow may change its link this long after its bond told a cause.
const SETTLING: Duration = seconds(15);
/// How often the world is looked at.
const LOOK: Duration = ms(100);

/// What is wrong with a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    BlackHole,
    /// Nothing arrives at this node.
    Deaf(usize),
    /// The operating system of A tells.
    NoCarrier,
    /// Comes and goes each second.
    Flapping,
    /// One packet in five is lost.
    Lossy,
    /// Twenty times slower.
    Slow,
}

/// A link, its fault if any, and since when it has been as it is.
#[derive(Clone, Debug)]
struct State {
    fault: Option<Fault>,
    since: Instant,
    until: Instant,
    rate: Option<u64>,
    loss: u32,
}

impl State {
    /// Carries packets both ways as well as it can.
    fn works(&self) -> bool {
        self.fault.is_none() && self.loss <= 10
    }

    /// Nothing that is sent by `from` arrives.
    fn is_dead(&self, from: usize) -> bool {
        match self.fault {
            Some(Fault::BlackHole | Fault::NoCarrier) => true,
            Some(Fault::Deaf(node)) => node != from,
            _ => false,
        }
    }
}

struct Scenario {
    net: Multipath,
    random: StdRng,
    links: BTreeMap<u8, State>,
    title: String,
    /// Since when some link works.
    reachable: Option<Instant>,
    events_seen: [usize; 2],
    last_cause: Instant,
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
        None => seconds(45),
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
        let now = net.now();
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
                    since: now,
                    until: now + seconds(20),
                    rate,
                    loss,
                },
            );
        }
        // Twelve flows of ten packets per second each way.
        net.load(A, &linux_flows(12), ms(100));
        net.load(B, &linux_flows(12), ms(100));
        net.run(seconds(5));
        let last_cause = net.now();
        Self {
            net,
            random,
            links,
            title,
            reachable: None,
            events_seen: [0; 2],
            last_cause,
            last_overload: last_cause,
        }
    }

    fn pick(&mut self, below: u32) -> u32 {
        self.random.next_u32() % below
    }

    /// Faults begin and end.
    fn change_links(&mut self) {
        let now = self.net.now();
        let due: Vec<u8> = self
            .links
            .iter()
            .filter(|(_, s)| s.until <= now)
            .map(|(link, _)| *link)
            .collect();
        for link in due {
            let had = self.links[&link].fault;
            let fault = match (had, self.pick(8)) {
                (Some(_), _) | (None, 0) => None,
                (None, 1 | 2) => Some(Fault::BlackHole),
                (None, 3) => Some(Fault::Deaf([A, B][self.pick(2) as usize])),
                (None, 4) => Some(Fault::NoCarrier),
                (None, 5) => Some(Fault::Flapping),
                (None, 6) => Some(Fault::Lossy),
                (None, _) => Some(Fault::Slow),
            };
            let lasts = match fault {
                Some(_) => seconds(3 + u64::from(self.pick(30))),
                None => seconds(10 + u64::from(self.pick(60))),
            };
            self.apply(link, had, fault);
            let state = self.links.get_mut(&link).expect("it is there");
            (state.fault, state.since, state.until) = (fault, now, now + lasts);
        }
    }

    fn apply(&mut self, link: u8, had: Option<Fault>, fault: Option<Fault>) {
        let (rate, loss) = (self.links[&link].rate, self.links[&link].loss);
        self.net.both(link, |wire| {
            wire.is_dead = matches!(fault, Some(Fault::BlackHole | Fault::NoCarrier));
            wire.conditions.loss_per_mille = if fault == Some(Fault::Lossy) {
                200
            } else {
                loss
            };
            wire.rate = match fault {
                Some(Fault::Slow) => Some(rate.unwrap_or(20_000_000) / 20),
                _ => rate,
            };
        });
        if let Some(Fault::Deaf(node)) = fault {
            self.net.wire(A + B - node, node, link).is_dead = true;
        }
        let interface = format!("sim{}", link - 1);
        if fault == Some(Fault::NoCarrier) {
            let event = LinkEvent::Down;
            self.net
                .world
                .net
                .command(A, Command::LinkState { interface, event });
        } else if had == Some(Fault::NoCarrier) {
            let event = LinkEvent::Up;
            self.net
                .world
                .net
                .command(A, Command::LinkState { interface, event });
        }
    }

    fn flap(&mut self) {
        let is_down = (self.net.now().as_millis() / 500).is_multiple_of(2);
        for (link, state) in self.links.clone() {
            if state.fault == Some(Fault::Flapping) {
                self.net.both(link, |wire| wire.is_dead = is_down);
            }
        }
    }

    /// A cause that a bond told, since the last look.
    fn look_for_causes(&mut self) {
        for (index, node) in [A, B].into_iter().enumerate() {
            let events = self.net.events(node);
            let is_new = events.len() > self.events_seen[index];
            self.events_seen[index] = events.len();
            if is_new {
                self.last_cause = self.net.now();
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.net.now() + time;
        let mut planned: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        while self.net.now() < end {
            self.change_links();
            self.flap();
            self.net.run(LOOK);
            self.look_for_causes();
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
            self.check_moves(&mut planned);
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
            let planned = self.net.planned(node);
            for (link, state) in &self.links {
                let at_once = node == A && state.fault == Some(Fault::NoCarrier);
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

    /// Policies that place flows leave them where they are until there is a cause.
    fn check_moves(&mut self, planned: &mut BTreeMap<usize, Vec<u8>>) {
        let now = self.net.now();
        for node in [A, B] {
            let Some(bond) = self.net.bond(node) else {
                continue;
            };
            if !matches!(
                bond.base,
                BasePolicy::ActiveBackup | BasePolicy::BalanceXor | BasePolicy::BalanceAware
            ) {
                continue;
            }
            let plan = self.net.planned(node);
            let before = planned.insert(node, plan.clone());
            let is_calm = now.duration_since(self.last_cause) > SETTLING;
            if is_calm && let Some(before) = before {
                assert_eq!(
                    before, plan,
                    "{}: node {node} moves flows without a cause",
                    self.title
                );
            }
        }
    }

    /// Probes, copies, order and growth over the whole run.
    fn check_totals(&mut self, time: Duration) {
        let run = time.as_secs() + 5;
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
