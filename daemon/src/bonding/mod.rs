//! Bonding as the daemon keeps it: the settings in force, what operators changed since, and what happened.

mod changes;
pub mod events;
mod links;
mod overrides;
pub mod presence;
pub mod unbonded;
pub mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use bond::{BasePolicy, BondSettings, ConfigProblem, Severity};
use protocol::Address;
use serde_json::{Map, Value, json};

pub use links::LinkChange;
use overrides::{Override, entry_of, merged, parameter};

/// Peers with settings of their own by order of an operator.
const MAX_OVERRIDES: usize = 1024;

const NOT_BONDED: &str = "this peer is not bonded: enable its bond first";

/// What an operator wants of the bond with one peer.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Bond, with the policy of that name, or with the one that the configuration has for this peer.
    Enable(Option<String>),
    /// Do not bond.
    Disable,
    /// Other parameters, as in a policy of `local.conf`.
    Set(Map<String, Value>),
    /// Another use of one link.
    Link {
        /// Interface, pattern or hardware address.
        name: String,
        /// What to do with it.
        change: LinkChange,
        /// The machine has such a link now.
        is_there: bool,
    },
}

/// What came of reading `local.conf`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// The settings in force are as before.
    Unchanged,
    /// Other settings are in force.
    Changed,
    /// There are errors: the settings in force are the last good ones.
    Refused,
}

/// The settings in force and where they come from.
#[derive(Clone, Debug, Default)]
pub struct Bonding {
    settings: Arc<BondSettings>,
    /// `settings` of the last `local.conf` without errors in it.
    document: Map<String, Value>,
    problems: Vec<ConfigProblem>,
    /// What the last change of the file changed, a line per key.
    changes: Vec<String>,
    overrides: BTreeMap<Address, Override>,
}

impl Bonding {
    /// The settings in force.
    pub const fn settings(&self) -> &Arc<BondSettings> {
        &self.settings
    }

    /// What the last load changed, a line per key: `settings.upDelay: 5, was 7`.
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    /// What is wrong with `local.conf` as it was last read.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }

    /// Takes the object `settings` of `local.conf`. With any error in it the last good settings stay in force.
    pub fn load(&mut self, settings: &Value) -> Loaded {
        let (parsed, problems) = BondSettings::parse(settings);
        self.problems = problems;
        if has_error(&self.problems) {
            return Loaded::Refused;
        }
        let document = settings.as_object().cloned().unwrap_or_default();
        let (old, new) = (of_bonds(&self.document), of_bonds(&document));
        self.changes = changes::between(&old, &new);
        self.document = document;
        let in_force = if self.overrides.is_empty() {
            parsed
        } else {
            let document = Value::Object(merged(&self.document, &self.overrides));
            let (settings, problems) = BondSettings::parse(&document);
            if let Some(problem) = problems.iter().find(|p| p.severity == Severity::Error) {
                tracing::warn!(
                    "orders given at run time do not fit the new local.conf and are dropped: {problem}"
                );
                self.overrides.clear();
                parsed
            } else {
                settings
            }
        };
        if *self.settings == in_force {
            return Loaded::Unchanged;
        }
        self.settings = Arc::new(in_force);
        Loaded::Changed
    }

    /// Carries out an operator's order until the next start; says what changed.
    ///
    /// # Errors
    ///
    /// Why nothing changed.
    pub fn change(&mut self, peer: Address, change: &Change) -> Result<String, String> {
        if !self.overrides.contains_key(&peer) && self.overrides.len() >= MAX_OVERRIDES {
            return Err(format!(
                "more than {MAX_OVERRIDES} peers have orders already"
            ));
        }
        let mut overrides = self.overrides.clone();
        let before = merged(&self.document, &overrides);
        let mut told = String::new();
        match change {
            Change::Disable => {
                overrides.insert(peer, Override::Policy(BasePolicy::None.name().to_owned()));
            }
            Change::Enable(Some(name)) => {
                if self.settings.policy(name).is_none() {
                    let mut known: Vec<&str> =
                        BasePolicy::ALL[1..].iter().map(|p| p.name()).collect();
                    known.extend(
                        self.settings
                            .policies
                            .keys()
                            .map(String::as_str)
                            .filter(|name| BasePolicy::from_name(name).is_none()),
                    );
                    return Err(format!(
                        "there is no policy {name:?}; there are {}",
                        known.join(", ")
                    ));
                }
                overrides.insert(peer, Override::Policy(name.clone()));
            }
            Change::Enable(None) => {
                if matches!(overrides.get(&peer), Some(Override::Policy(name)) if name == "none") {
                    overrides.remove(&peer);
                }
            }
            Change::Set(changes) => {
                let mut entry = entry_of(&before, peer);
                entry.extend(changes.clone());
                overrides.insert(peer, Override::Parameters(entry));
            }
            Change::Link {
                name,
                change,
                is_there,
            } => {
                let Some(policy) = self.settings.policy_for(peer) else {
                    return Err(NOT_BONDED.to_owned());
                };
                let mut entry = entry_of(&before, peer);
                let links = parameter(&before, &entry, "links");
                let (links, text) = links::changed(links, name, *change, *is_there)?;
                told = text;
                entry.insert("links".to_owned(), Value::Object(links));
                // Its default depends on whether there are links.
                let methods = ["linkSelectMethod", "activeReselect"];
                if !methods.iter().any(|key| entry.contains_key(*key)) {
                    entry.insert(methods[0].to_owned(), policy.link_select.name().into());
                }
                overrides.insert(peer, Override::Parameters(entry));
            }
        }
        let after = merged(&self.document, &overrides);
        let (settings, problems) = BondSettings::parse(&Value::Object(after));
        let place = format!("settings.peerSpecificBonds.{peer}.");
        let of_order = |problem: &&ConfigProblem| {
            let key = problem.path.strip_prefix(&place);
            matches!((change, key), (Change::Set(changes), Some(key)) if changes.contains_key(key))
        };
        // Something that has no effect is a warning in a file, but no answer to an order.
        let refusal = problems.iter().find(|problem| {
            problem.severity == Severity::Error
                || (of_order(problem) && problem.reason.contains("no effect"))
        });
        if let Some(problem) = refusal {
            let path = problem.path.strip_prefix(&place).unwrap_or(&problem.path);
            return Err(format!("{path}: {}", problem.reason));
        }
        let name_in = |settings: &BondSettings| {
            settings
                .policy_for(peer)
                .map_or_else(|| "none".to_owned(), |policy| policy.name.clone())
        };
        let (old, new) = (name_in(&self.settings), name_in(&settings));
        let text = match change {
            Change::Enable(None) if new == "none" => {
                return Err(
                    "no policy is configured for this peer: name one, or set defaultBondingPolicy in local.conf"
                        .to_owned(),
                );
            }
            Change::Set(changes) => {
                if new == "none" {
                    return Err(NOT_BONDED.to_owned());
                }
                let entry = entry_of(&before, peer);
                let mut parts: Vec<String> = changes
                    .iter()
                    .map(|(key, value)| match parameter(&before, &entry, key) {
                        Some(before) if before == value => format!("{key} is {value} already"),
                        Some(before) => format!("{key} is now {value}, was {before}"),
                        None => format!("{key} is now {value}, was the default"),
                    })
                    .collect();
                let remarks = problems.iter().filter(of_order);
                parts.extend(remarks.map(|problem| {
                    let key = problem.path.strip_prefix(&place).unwrap_or(&problem.path);
                    format!("{key} {}", problem.reason)
                }));
                parts.join("; ")
            }
            Change::Link { .. } => told,
            _ if old == new => format!("the policy is {new} already"),
            _ => format!("the policy is now {new}, was {old}"),
        };
        self.settings = Arc::new(settings);
        self.overrides = overrides;
        Ok(text)
    }

    /// The entry of `peerSpecificBonds` by which orders for this peer outlive the process; none if there are no such orders.
    pub fn to_save(&self, peer: Address) -> Option<Value> {
        Some(self.overrides.get(&peer)?.to_json())
    }

    /// Orders for this peer stand in `local.conf` now, which has the word from now on.
    pub fn forget_orders(&mut self, peer: Address) {
        self.overrides.remove(&peer);
    }

    /// For the API: without the bonds themselves.
    pub fn to_json(&self) -> Value {
        let policies: Map<String, Value> = self
            .settings
            .policies
            .values()
            .map(|policy| (policy.name.clone(), json!(policy.base.name())))
            .collect();
        let problems: Vec<Value> = self.problems.iter().map(problem_json).collect();
        json!({
            "defaultBondingPolicy": self.settings.default_policy.name,
            "inUse": self.settings.is_in_use(),
            "policies": policies,
            "problems": problems,
            "schemaVersion": 1,
        })
    }
}

/// A problem for the API and for events.
pub fn problem_json(problem: &ConfigProblem) -> Value {
    let severity = match problem.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    json!({"path": problem.path, "reason": problem.reason, "severity": severity})
}

/// The keys of `settings` that concern bonds.
fn of_bonds(settings: &Map<String, Value>) -> Value {
    let concerns = |key: &str| {
        ["defaultBondingPolicy", "policies", "peerSpecificBonds"].contains(&key)
            || BasePolicy::from_name(key).is_some()
    };
    let keys = settings.iter().filter(|(key, _)| concerns(key));
    let keys = keys.map(|(key, value)| (key.clone(), value.clone()));
    json!({"settings": keys.collect::<Map<_, _>>()})
}

fn has_error(problems: &[ConfigProblem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
}

#[cfg(test)]
mod table_tests;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn loaded(settings: &Value) -> Bonding {
        let mut bonding = Bonding::default();
        assert_eq!(bonding.load(settings), Loaded::Changed);
        bonding
    }

    fn peer() -> Address {
        "a92cb526fa".parse().unwrap()
    }

    fn set(key: &str, value: Value) -> Change {
        Change::Set(Map::from_iter([(key.to_owned(), value)]))
    }

    fn office() -> Value {
        json!({"defaultBondingPolicy": "office",
            "policies": {"office": {"basePolicy": "active-backup", "failoverInterval": 400}}})
    }

    #[test]
    fn an_error_keeps_the_last_good_settings() {
        let mut bonding = loaded(&office());
        let good = Arc::clone(bonding.settings());
        let broken = json!({"defaultBondingPolicy": "foo"});
        assert_eq!(bonding.load(&broken), Loaded::Refused);
        assert!(Arc::ptr_eq(bonding.settings(), &good));
        assert_eq!(
            bonding.to_json()["problems"],
            json!([{"path": "settings.defaultBondingPolicy", "reason": "there is no policy \"foo\"", "severity": "error"}])
        );
        assert_eq!(bonding.load(&office()), Loaded::Unchanged);
        assert!(bonding.problems().is_empty());
        assert_eq!(bonding.load(&Value::Null), Loaded::Changed);
        assert!(!bonding.settings().is_in_use());
    }

    #[test]
    fn without_good_settings_an_error_means_no_bonding() {
        let mut bonding = Bonding::default();
        assert_eq!(
            bonding.load(&json!({"defaultBondingPolicy": 7})),
            Loaded::Refused
        );
        assert!(!bonding.settings().is_in_use());
    }

    #[test]
    fn parameters_of_one_peer() {
        let mut bonding = loaded(&office());
        let change = set("failoverInterval", json!(500));
        assert_eq!(
            bonding.change(peer(), &change).unwrap(),
            "failoverInterval is now 500, was 400"
        );
        assert_eq!(
            bonding.change(peer(), &change).unwrap(),
            "failoverInterval is 500 already"
        );
        let change = set("upDelay", json!(5));
        assert_eq!(
            bonding.change(peer(), &change).unwrap(),
            "upDelay is now 5, was the default"
        );
        let policy = bonding.settings().policy_for(peer()).unwrap();
        assert_eq!(policy.failover_interval, Duration::from_millis(500));
        assert_eq!(policy.up_delay, Duration::from_millis(5));
        assert_eq!(policy.name, "office");
        let other = bonding
            .settings()
            .policy_for("0123456789".parse().unwrap())
            .unwrap();
        assert_eq!(
            other.failover_interval,
            Duration::from_millis(400),
            "others are as before"
        );
        assert_eq!(
            bonding.to_save(peer()).unwrap(),
            json!({"policy": "office", "failoverInterval": 500, "upDelay": 5})
        );
        // Orders outlive a change of the file.
        let mut file = office();
        file["policies"]["office"]["downDelay"] = json!(9);
        assert_eq!(bonding.load(&file), Loaded::Changed);
        let policy = bonding.settings().policy_for(peer()).unwrap();
        assert_eq!(policy.failover_interval, Duration::from_millis(500));
        assert_eq!(policy.down_delay, Duration::from_millis(9));
    }

    #[test]
    fn an_order_that_cannot_be_is_refused_in_the_words_of_the_parser() {
        let mut bonding = loaded(&office());
        let before = Arc::clone(bonding.settings());
        for (change, reason) in [
            (
                set("upDelay", json!(-1)),
                "upDelay: must be an integer from 0 to 600000, is -1",
            ),
            (
                set("speeed", json!(1)),
                "speeed: is no key that is known here, and has no effect",
            ),
            (
                Change::Enable(Some("foo".to_owned())),
                "there is no policy \"foo\"; there are active-backup, broadcast, balance-rr, balance-xor, \
                 balance-aware, office",
            ),
        ] {
            assert_eq!(bonding.change(peer(), &change).unwrap_err(), reason);
        }
        assert!(Arc::ptr_eq(bonding.settings(), &before));
        let change = set("failoverInterval", json!(50));
        let text = bonding.change(peer(), &change).unwrap();
        assert!(
            text.contains("; failoverInterval is below 250 ms"),
            "{text}"
        );
    }

    #[test]
    fn orders_about_links_keep_what_their_presence_would_change() {
        let mut bonding = loaded(&office());
        let order = |name: &str, change| Change::Link {
            name: name.to_owned(),
            change,
            is_there: true,
        };
        let before = bonding.settings().policy_for(peer()).unwrap().link_select;
        let text = bonding.change(peer(), &order("wan1", LinkChange::Disable));
        assert_eq!(text.unwrap(), "wan1 is disabled");
        let policy = bonding.settings().policy_for(peer()).unwrap();
        assert_eq!(policy.link_select, before);
        assert_eq!(policy.links.len(), 2);
        assert_eq!(
            bonding.to_save(peer()).unwrap(),
            json!({"policy": "office", "linkSelectMethod": "optimize",
                "links": {"*": {"mode": "primary"}, "wan1": {"enabled": false, "mode": "primary"}}})
        );
        let again = bonding.change(peer(), &order("wan1", LinkChange::Disable));
        assert_eq!(again.unwrap_err(), "wan1 is disabled already");
        // What was ordered before stays when something else is.
        bonding.change(peer(), &set("upDelay", json!(5))).unwrap();
        let policy = bonding.settings().policy_for(peer()).unwrap();
        assert!(policy.links.iter().any(|link| !link.enabled));
        // Saved, the file has the word.
        bonding.forget_orders(peer());
        assert_eq!(bonding.to_save(peer()), None);
    }

    #[test]
    fn one_peer_can_be_bonded_or_not() {
        let mut bonding = loaded(&office());
        let is_bonded = |bonding: &Bonding| bonding.settings().policy_for(peer()).is_some();
        let text = bonding.change(peer(), &Change::Disable).unwrap();
        assert_eq!(text, "the policy is now none, was office");
        assert!(!is_bonded(&bonding));
        let refused = bonding
            .change(peer(), &set("upDelay", json!(5)))
            .unwrap_err();
        assert!(refused.contains("enable its bond first"), "{refused}");
        let text = bonding.change(peer(), &Change::Enable(None)).unwrap();
        assert_eq!(text, "the policy is now office, was none");
        let change = Change::Enable(Some("balance-rr".to_owned()));
        assert_eq!(
            bonding.change(peer(), &change).unwrap(),
            "the policy is now balance-rr, was office"
        );
        let mut unbonded = Bonding::default();
        let refused = unbonded.change(peer(), &Change::Enable(None)).unwrap_err();
        assert!(refused.contains("no policy is configured"), "{refused}");
        let change = Change::Enable(Some("balance-xor".to_owned()));
        assert_eq!(
            unbonded.change(peer(), &change).unwrap(),
            "the policy is now balance-xor, was none"
        );
        assert!(is_bonded(&unbonded));
    }
}
