//! Bonding policies, and how local.conf asks for them (multipath specification A.1).

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::topology::interface_name;

/// A standard policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Policy {
    None,
    ActiveBackup,
    Broadcast,
    BalanceRr,
    BalanceXor,
    BalanceAware,
}

impl Policy {
    /// In the order of the table's columns.
    pub(super) const ALL: [Self; 6] = [
        Self::None,
        Self::ActiveBackup,
        Self::Broadcast,
        Self::BalanceRr,
        Self::BalanceXor,
        Self::BalanceAware,
    ];

    /// Its name in local.conf.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ActiveBackup => "active-backup",
            Self::Broadcast => "broadcast",
            Self::BalanceRr => "balance-rr",
            Self::BalanceXor => "balance-xor",
            Self::BalanceAware => "balance-aware",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("the policies are {names}")
        })
    }
}

/// What every bond of one table is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct BondSettings {
    /// Milliseconds.
    pub(super) failover_interval: u32,
    /// Links to declare, and the capacity of each in Mbit/s; by default the node finds its links by itself.
    pub(super) declared: Option<(u8, u32)>,
}

/// Name of the custom policy: settings of a standard one are not accepted under its own name by every software.
const CUSTOM_NAME: &str = "lab";

impl BondSettings {
    /// The members of local.conf's `settings` for a policy.
    pub(super) fn local_conf(&self, policy: Policy) -> Map<String, Value> {
        let mut settings = Map::new();
        // With further ports, every link would count several times (multipath specification B.1).
        settings.insert("allowSecondaryPort".into(), json!(false));
        if policy == Policy::None {
            return settings;
        }
        let mut custom = json!({
            "basePolicy": policy.name(),
            "failoverInterval": self.failover_interval,
            "activeReselect": "always",
        });
        if let Some((links, capacity)) = self.declared {
            for link in 0..links {
                custom["links"][interface_name(link)] =
                    json!({"mode": "primary", "capacity": capacity});
            }
        }
        settings.insert("policies".into(), json!({ CUSTOM_NAME: custom }));
        settings.insert("defaultBondingPolicy".into(), json!(CUSTOM_NAME));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        assert!("balance-alb".parse::<Policy>().is_err());
    }

    #[test]
    fn settings_are_spelled_as_the_reference_reads_them() {
        let mut settings = BondSettings {
            failover_interval: 500,
            declared: None,
        };
        let none = settings.local_conf(Policy::None);
        assert_eq!(Value::Object(none), json!({"allowSecondaryPort": false}));
        let xor = settings.local_conf(Policy::BalanceXor);
        assert_eq!(
            Value::Object(xor),
            json!({
                "allowSecondaryPort": false,
                "defaultBondingPolicy": "lab",
                "policies": {"lab": {
                    "basePolicy": "balance-xor", "failoverInterval": 500, "activeReselect": "always",
                }},
            })
        );
        settings.declared = Some((2, 100));
        let aware = settings.local_conf(Policy::BalanceAware);
        assert_eq!(
            aware["policies"]["lab"]["links"]["eth1"],
            json!({"mode": "primary", "capacity": 100})
        );
    }
}
