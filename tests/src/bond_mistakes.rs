//! Mistakes in the bonding settings of `local.conf` that end 1.14.1 or pass it unnoticed, and what is said of each here.

use serde_json::{Value, json};

/// Something wrong in the object `settings`.
pub struct Mistake {
    /// The object.
    pub settings: Value,
    /// Place and part of the reason of each problem that must be named; none: this is no mistake here, and counts.
    pub problems: &'static [(&'static str, &'static str)],
}

/// Every fragment that was tried with 1.14.1, in the order of these trials; `peer` is an address of 10 digits. A file that is
/// no JSON was tried too: [`NO_JSON`].
pub fn mistakes(peer: &str) -> Vec<Mistake> {
    let mistake = |settings, problems| Mistake { settings, problems };
    vec![
        // 1.14.1 exits with a message that names neither key nor file.
        mistake(
            json!({"peerSpecificBonds": {"zzz": "x"}}),
            &[(
                "settings.peerSpecificBonds.zzz",
                "a peer is named by its address of 10 hexadecimal digits",
            )],
        ),
        mistake(
            json!({"peerSpecificBonds": {peer: 5}}),
            &[(
                "settings.peerSpecificBonds.",
                "must be the name of a policy, is a number",
            )],
        ),
        mistake(
            json!({"policies": {"p": {"basePolicy": "balance-rr", "links": [5]}}}),
            &[(
                "settings.policies.p.links[0]",
                "must be the name of a link, is a number",
            )],
        ),
        mistake(
            json!({"policies": {"p": {"basePolicy": "balance-rr", "links": ["eth0"]}}}),
            &[],
        ),
        mistake(
            json!({"policies": {"p": "x"}}),
            &[("settings.policies.p", "must be an object, is a string")],
        ),
        mistake(
            json!({"policies": []}),
            &[(
                "settings.policies",
                "must be an object of policies, is an array",
            )],
        ),
        // It runs without bonds, and says so.
        mistake(
            json!({"defaultBondingPolicy": 7}),
            &[(
                "settings.defaultBondingPolicy",
                "must be the name of a policy, is a number",
            )],
        ),
        // It says nothing.
        mistake(
            json!({"balance-rr": {"failoverInterval": -5, "upDelay": -7, "packetsPerLink": -3}}),
            &[
                ("settings.balance-rr.failoverInterval", "is -5"),
                ("settings.balance-rr.upDelay", "is -7"),
                ("settings.balance-rr.packetsPerLink", "is -3"),
            ],
        ),
        mistake(
            json!({"balance-rr": {"linkQuality": {"lat_weight": 0.75, "pdv_weight": 0.75}}}),
            &[(
                "settings.balance-rr.linkQuality.lat_weight",
                "and the other weights make 1.500, not 1",
            )],
        ),
        // It runs without bonds, and says so.
        mistake(
            json!({"defaultBondingPolicy": "foo"}),
            &[(
                "settings.defaultBondingPolicy",
                "there is no policy \"foo\"",
            )],
        ),
        // It dies when the first peer becomes active.
        mistake(
            json!({"defaultBondingPolicy": "foo", "policies": {"q": {"basePolicy": "balance-rr"}}}),
            &[(
                "settings.defaultBondingPolicy",
                "there is no policy \"foo\"",
            )],
        ),
        // It ignores these, with a message.
        mistake(
            json!({"policies": {"balance-rr": {"packetsPerLink": 4}}}),
            &[],
        ),
        mistake(
            json!({"policies": {"x": {}}}),
            &[("settings.policies.x.basePolicy", "is missing")],
        ),
        mistake(
            json!({"policies": {"x": {"basePolicy": "y"}}}),
            &[(
                "settings.policies.x.basePolicy",
                "\"y\" is no standard policy",
            )],
        ),
        // It says that the link is disabled, and uses it.
        mistake(
            json!({"balance-rr": {"links": {"sim0": {"ipvPref": 5}}}}),
            &[(
                "settings.balance-rr.links.sim0.ipvPref",
                "must be 0, 4, 6, 46 or 64",
            )],
        ),
        mistake(
            json!({"active-backup": {"links": {
                "sim0": {"mode": "spare", "failoverTo": "sim1"}, "sim1": {"mode": "spare"}}}}),
            &[],
        ),
        mistake(
            json!({"active-backup": {"links": {"sim0": {"mode": "spare", "failoverTo": "sim0"}}}}),
            &[(
                "settings.active-backup.links.sim0.failoverTo",
                "leads back to the link itself",
            )],
        ),
    ]
}

/// A file that is no JSON.
pub const NO_JSON: &str = "{\"settings\": {\"defaultBondingPolicy\": ";
