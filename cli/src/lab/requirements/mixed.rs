//! Row 33: one end bonds and the other one does not, or both do, with each policy. Bonds stay whole.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bed::{BedPlan, policy_settings};
use super::row::{Case, Load, Measurement, Row};
use crate::lab::policy::Policy;
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
const RATE: u32 = 20;
/// Well past the trial of a zerotier-one's bond and several of its QoS intervals.
const OBSERVED: Duration = Duration::from_secs(45);
const PERIOD: Duration = Duration::from_millis(500);
/// What must arrive of what is sent.
const SHARE: f64 = 0.99;

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 33,
        quantity: "one-sided and mixed bonds",
        ours: "both sides keep n/n links",
        towards_stock: Some("both sides keep n/n links"),
        policies: &[
            Policy::ActiveBackup,
            Policy::Broadcast,
            Policy::BalanceRr,
            Policy::BalanceXor,
            Policy::BalanceAware,
        ],
        load: Load::Light,
        measure,
    }]
}

/// What was seen of one arrangement.
struct Seen {
    name: &'static str,
    /// Of the near and the far member's bond: links in use at the least, and known at the most.
    links: [Option<(u64, u64)>; 2],
    bonded: [bool; 2],
    /// What arrived, 0 to 1, in each direction.
    shares: [f64; 2],
}

impl Seen {
    fn holds(&self, judged: &[usize]) -> bool {
        let whole = |(links, bonded): (Option<(u64, u64)>, bool)| match links {
            Some((alive, known)) => !bonded || (alive >= LINKS.into() && alive == known),
            None => !bonded,
        };
        let flows = judged.iter().all(|n| self.shares[*n] >= SHARE);
        self.links.into_iter().zip(self.bonded).all(whole) && flows
    }

    fn to_json(&self) -> Value {
        let links = self
            .links
            .map(|links| json!(links.map(|(alive, known)| [alive, known])));
        json!({"who": self.name, "fewestInUseAndMostKnown": links, "arrivedShares": self.shares})
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |n: usize| match self.links[n] {
            Some((alive, known)) if self.bonded[n] => format!("{alive}/{known}"),
            _ if self.bonded[n] => "no bond".to_owned(),
            _ => "-".to_owned(),
        };
        let least = self.shares[0].min(self.shares[1]);
        let (name, near, far) = (self.name, side(0), side(1));
        write!(
            f,
            "{name}: near {near}, far {far}, {:.1} % arrived",
            least * 100.0
        )
    }
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let with = || policy_settings(case.policy);
    let without = || policy_settings(Policy::None);
    let arrangements = [
        ("both bond", with(), with()),
        ("far bonds", without(), with()),
        ("near bonds", with(), without()),
    ];
    let mut seen = Vec::new();
    for (name, near, far) in arrangements {
        let links = LINKS;
        let bonded = [!near.is_empty(), !far.is_empty()];
        let plan = BedPlan { links, near, far };
        seen.push(observe(case, &plan, name, bonded)?);
    }
    let judged = case.judged_directions();
    Ok(Measurement {
        values: seen.iter().map(Seen::to_json).collect(),
        text: seen
            .iter()
            .map(Seen::to_string)
            .collect::<Vec<_>>()
            .join("; "),
        holds: seen.iter().all(|seen| seen.holds(judged)),
    })
}

fn observe(case: &Case, plan: &BedPlan, name: &'static str, bonded: [bool; 2]) -> io::Result<Seen> {
    let bed = case.bed_of(plan)?;
    let stream = bed.stream(Pace {
        rate: RATE,
        both_ways: true,
    })?;
    let (start, began) = (Instant::now(), stream.elapsed());
    let mut links = bed.bond_links()?;
    while start.elapsed() < case.options.observation(OBSERVED) {
        thread::sleep(PERIOD);
        for (worst, now) in links.iter_mut().zip(bed.bond_links()?) {
            *worst = worst
                .zip(now)
                .map(|((alive, known), (alive_now, known_now))| {
                    (alive.min(alive_now), known.max(known_now))
                });
        }
    }
    let ended = stream.elapsed();
    // The latest are still on their way.
    thread::sleep(Duration::from_millis(200));
    let shares = stream.arrived_shares(began, ended);
    stream.finish(ended)?;
    Ok(Seen {
        name,
        links,
        bonded,
        shares,
    })
}
