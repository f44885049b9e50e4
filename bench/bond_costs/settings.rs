//! Wrong types for every key of bonding: none may panic, and each must be told.

use std::panic::catch_unwind;

use bond::{BondSettings, ConfigProblem};
use serde_json::{Value, json};

/// Types that a key takes: a(rray), b(oolean), n(umber), o(bject), s(tring).
const POLICY: [(&str, &str); 18] = [
    ("basePolicy", "s"),
    ("failoverInterval", "n"),
    ("upDelay", "n"),
    ("downDelay", "n"),
    ("monitorStrategy", "s"),
    ("pathMonitorStrategy", "s"),
    ("packetsPerLink", "n"),
    ("linkSelectMethod", "s"),
    ("activeReselect", "s"),
    ("balancePolicy", "s"),
    ("allowFlowHashing", "b"),
    ("rebalanceStrategy", "s"),
    ("xmitHashPolicy", "s"),
    ("dedup", "b"),
    ("quality", "o"),
    ("linkQuality", "o"),
    ("links", "ao"),
    ("reorderMs", "n"),
];
const LINK: [(&str, &str); 12] = [
    ("mode", "s"),
    ("failoverTo", "s"),
    ("enabled", "b"),
    ("ipvPref", "n"),
    ("speed", "nos"),
    ("capacity", "nos"),
    ("alloc", "n"),
    ("mtu", "n"),
    ("failoverInterval", "n"),
    ("upDelay", "n"),
    ("downDelay", "n"),
    ("cost", "n"),
];
const SETTINGS: [(&str, &str); 5] = [
    ("defaultBondingPolicy", "s"),
    ("policies", "o"),
    ("peerSpecificBonds", "o"),
    ("balance-aware", "o"),
    ("active-backup", "o"),
];
const QUALITY: [&str; 6] = ["lat", "ltm", "pdv", "plr", "per", "avl"];
const LIMITS: [&str; 4] = ["lat_max", "pdv_max", "plr_max", "per_max"];

/// Values of each type, and such as no key takes whatever its type.
fn values() -> Vec<(char, Value)> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        ('0', Value::Null),
        ('b', json!(true)),
        ('n', json!(1)),
        ('s', json!("eth0")),
        ('a', json!(["eth0", "eth1"])),
        ('a', deep),
        ('o', json!({"": 1})),
        ('!', json!(-1)),
        ('!', json!(1e308)),
        ('!', json!(u64::MAX)),
        ('!', json!("\u{0}\u{ffff}*?")),
        ('!', json!("x".repeat(100_000))),
    ]
}

/// What came of all attempts.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) attempts: usize,
    pub(crate) crashes: usize,
    /// Wrong types of which nothing was said.
    pub(crate) untold: Vec<String>,
}

impl Outcome {
    fn attempt(&mut self, key: &str, accepted: &str, wrap: &dyn Fn(Value) -> Value) {
        for (kind, value) in values() {
            self.attempts += 1;
            let wrapped = wrap(value);
            match catch_unwind(|| problems(&wrapped)) {
                Err(_) => self.crashes += 1,
                Ok(problems) if problems.is_empty() && kind != '!' && !accepted.contains(kind) => {
                    self.untold.push(format!("{key}={kind}"));
                }
                Ok(_) => {}
            }
        }
    }
}

fn problems(settings: &Value) -> Vec<ConfigProblem> {
    BondSettings::parse(settings).1
}

/// Tries everything.
pub(crate) fn fuzz() -> Outcome {
    let mut outcome = Outcome::default();
    for (key, accepted) in SETTINGS {
        outcome.attempt(key, accepted, &|value| json!({ key: value }));
    }
    let policy = |key: &str, value: Value| {
        let mut policy = json!({"basePolicy": "balance-aware"});
        policy[key] = value;
        json!({"defaultBondingPolicy": "p", "policies": {"p": policy}})
    };
    for (key, accepted) in POLICY {
        outcome.attempt(key, accepted, &|value| policy(key, value));
    }
    for (key, accepted) in LINK {
        let links = |value| json!({"eth0": {key: value}, "eth1": {}});
        outcome.attempt(key, accepted, &|value| policy("links", links(value)));
    }
    for key in QUALITY {
        outcome.attempt(key, "n", &|value| policy("quality", json!({ key: value })));
    }
    for key in LIMITS {
        outcome.attempt(key, "n", &|value| {
            policy("linkQuality", json!({ key: value }))
        });
    }
    let entry = |value| json!({"peerSpecificBonds": {"16a03a3d03": value}});
    outcome.attempt("peer", "os", &entry);
    outcome
}
