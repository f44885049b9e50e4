//! Bonding as the daemon keeps it: the settings in force, what operators changed since, and what happened.

pub mod events;
mod overrides;
pub mod presence;

use std::collections::BTreeMap;
use std::sync::Arc;

use bond::{BasePolicy, BondSettings, ConfigProblem, Severity};
use protocol::Address;
use serde_json::{Map, Value, json};

use overrides::{Override, merged, policy_of};

/// Peers with settings of their own by order of an operator.
const MAX_OVERRIDES: usize = 1024;

/// What an operator wants of the bond with one peer.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Bond, with the policy of that name, or with the one that the configuration has for this peer.
    Enable(Option<String>),
    /// Do not bond.
    Disable,
    /// Other parameters, as in a policy of `local.conf`.
    Set(Map<String, Value>),
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
    overrides: BTreeMap<Address, Override>,
}

impl Bonding {
    /// The settings in force.
    pub const fn settings(&self) -> &Arc<BondSettings> {
        &self.settings
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
        self.document = settings.as_object().cloned().unwrap_or_default();
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
                let mut policy = policy_of(&before, peer);
                policy.extend(changes.clone());
                overrides.insert(peer, Override::Parameters(policy));
            }
        }
        let after = merged(&self.document, &overrides);
        let (settings, problems) = BondSettings::parse(&Value::Object(after));
        if let Some(problem) = problems.iter().find(|p| p.severity == Severity::Error) {
            let place = format!("settings.peerSpecificBonds.{peer}.");
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
                    return Err("this peer is not bonded: enable its bond first".to_owned());
                }
                let old = policy_of(&before, peer);
                let parts: Vec<String> = changes
                    .iter()
                    .map(|(key, value)| match old.get(key) {
                        Some(before) if before == value => format!("{key} is {value} already"),
                        Some(before) => format!("{key} is now {value}, was {before}"),
                        None => format!("{key} is now {value}, was the default"),
                    })
                    .collect();
                parts.join("; ")
            }
            _ if old == new => format!("the policy is {new} already"),
            _ => format!("the policy is now {new}, was {old}"),
        };
        self.settings = Arc::new(settings);
        self.overrides = overrides;
        Ok(text)
    }

    /// What to write into `settings` of `local.conf` so that orders for this peer outlive the process; none if there are
    /// no such orders.
    pub fn to_save(&self, peer: Address) -> Option<Map<String, Value>> {
        let order = self.overrides.get(&peer)?;
        let one = BTreeMap::from([(peer, order.clone())]);
        let document = merged(&self.document, &one);
        let bonds = document.get("peerSpecificBonds")?.clone();
        Some(Map::from_iter([("peerSpecificBonds".to_owned(), bonds)]))
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

fn has_error(problems: &[ConfigProblem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
}
