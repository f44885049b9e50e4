//! The parameters of one policy.

use serde_json::Value;

use super::link::parse_links;
use super::reader::Reader;
use super::{
    BalancePolicy, HashPolicy, LinkSelectMethod, MonitorStrategy, PolicySettings, QualityWeights,
    RebalanceStrategy,
};

const KEYS: [&str; 20] = [
    "basePolicy",
    "failoverInterval",
    "upDelay",
    "downDelay",
    "monitorStrategy",
    "pathMonitorStrategy",
    "packetsPerLink",
    "linkSelectMethod",
    "activeReselect",
    "balancePolicy",
    "allowFlowHashing",
    "rebalanceStrategy",
    "xmitHashPolicy",
    "dedup",
    "quality",
    "linkQuality",
    "links",
    "reorderMs",
    "policy",
    "comment",
];
/// Features of others that there are not.
const UNSUPPORTED: [&str; 2] = ["fec", "duplicate"];
/// A switch of 1.14.1 that does nothing there either.
const INERT: &str = "allowPathNegotiation";

/// Overrides `settings` with the keys that are there.
pub(super) fn parse_policy(reader: &mut Reader<'_>, settings: &mut PolicySettings) {
    if let Some(interval) = reader.millis("failoverInterval", 50, 65_535) {
        if interval.as_millis() < 250 {
            reader.warn(
                "failoverInterval",
                "is below 250 ms: a moment of congestion may pass for a failure",
            );
        }
        settings.failover_interval = interval;
    }
    if let Some(delay) = reader.millis("upDelay", 0, 600_000) {
        settings.up_delay = delay;
    }
    if let Some(delay) = reader.millis("downDelay", 0, 600_000) {
        settings.down_delay = delay;
    }
    if let Some(key) = reader.spelling(&["monitorStrategy", "pathMonitorStrategy"]) {
        let strategies = [
            ("active", MonitorStrategy::Active),
            ("dynamic", MonitorStrategy::Dynamic),
            ("passive", MonitorStrategy::Passive),
        ];
        if let Some(strategy) = reader.choice(key, &strategies) {
            settings.monitor = strategy;
        }
    }
    if let Some(packets) = reader.integer("packetsPerLink", 0, 65_535) {
        settings.packets_per_link = u16::try_from(packets).unwrap_or(u16::MAX);
    }
    parse_balance(reader, settings);
    let hashes = [
        HashPolicy::Layer2,
        HashPolicy::Layer2And3,
        HashPolicy::Layer3And4,
    ];
    if let Some(hash) = reader.choice("xmitHashPolicy", &hashes.map(|hash| (hash.name(), hash))) {
        settings.hash = hash;
    }
    if let Some(deduplicate) = reader.boolean("dedup") {
        settings.deduplicate = deduplicate;
    }
    if reader.millis("reorderMs", 0, 500).is_some() {
        let reason = "has no effect yet: nothing restores the order of packets";
        reader.warn("reorderMs", reason);
    }
    parse_quality(reader, settings);
    if let Some(links) = reader.get("links") {
        let place = reader.place("links");
        settings.links = parse_links(links, &place, reader.problems);
        // With guidance the operator's order counts, without it the measurements.
        settings.link_select = if settings.links.is_empty() {
            LinkSelectMethod::Optimize
        } else {
            LinkSelectMethod::Always
        };
    }
    if let Some(key) = reader.spelling(&["linkSelectMethod", "activeReselect"]) {
        let methods = [
            LinkSelectMethod::Always,
            LinkSelectMethod::Better,
            LinkSelectMethod::Failure,
            LinkSelectMethod::Optimize,
        ];
        if let Some(method) = reader.choice(key, &methods.map(|method| (method.name(), method))) {
            settings.link_select = method;
        }
    }
    reader.refuse(&UNSUPPORTED);
    if reader.get(INERT).is_some() {
        reader.warn(INERT, "has no effect: links are as each end's settings say");
    }
    reader.warn_of_others(&[&KEYS, &UNSUPPORTED, &[INERT]]);
}

fn parse_balance(reader: &mut Reader<'_>, settings: &mut PolicySettings) {
    let policies = [
        ("flow-dynamic", BalancePolicy::FlowDynamic),
        ("flow-static", BalancePolicy::FlowStatic),
        ("packet", BalancePolicy::Packet),
        ("auto", BalancePolicy::Auto),
    ];
    let balance = reader.choice("balancePolicy", &policies);
    if let Some(balance) = balance {
        settings.balance = balance;
    }
    match (reader.boolean("allowFlowHashing"), balance) {
        (Some(false), Some(BalancePolicy::FlowDynamic | BalancePolicy::FlowStatic)) => {
            reader.error(
                "allowFlowHashing",
                "is false, but balancePolicy places flows",
            );
        }
        (Some(false), _) => settings.balance = BalancePolicy::Packet,
        (Some(true) | None, _) => {}
    }
    let strategies = [
        ("passive", RebalanceStrategy::Passive),
        ("opportunistic", RebalanceStrategy::Opportunistic),
        ("aggressive", RebalanceStrategy::Aggressive),
    ];
    if let Some(strategy) = reader.choice("rebalanceStrategy", &strategies) {
        settings.rebalance = strategy;
    }
}

/// `quality` has weights; `linkQuality` has limits (`*_max`) and weights (`*_weight`).
fn parse_quality(reader: &mut Reader<'_>, settings: &mut PolicySettings) {
    const NAMES: [&str; 6] = ["lat", "ltm", "pdv", "plr", "per", "avl"];
    let by_name = reader.get("quality");
    let by_weight = reader.get("linkQuality");
    let mut weights_given = false;
    if let Some(value) = by_name {
        let place = reader.place("quality");
        if let Some(mut quality) = Reader::new(value, &place, reader.problems) {
            weights_given = true;
            parse_weights(&mut quality, NAMES, settings);
            quality.warn_of_others(&[&NAMES]);
        }
    }
    let Some(value) = by_weight else {
        return;
    };
    const WEIGHTS: [&str; 6] = [
        "lat_weight",
        "ltm_weight",
        "pdv_weight",
        "plr_weight",
        "per_weight",
        "avl_weight",
    ];
    const LIMITS: [&str; 4] = ["lat_max", "pdv_max", "plr_max", "per_max"];
    let place = reader.place("linkQuality");
    let Some(mut quality) = Reader::new(value, &place, reader.problems) else {
        return;
    };
    let limits = &mut settings.limits;
    limits.latency = quality.positive("lat_max").or(limits.latency);
    limits.variation = quality.positive("pdv_max").or(limits.variation);
    for (key, limit) in [
        ("plr_max", &mut limits.loss),
        ("per_max", &mut limits.errors),
    ] {
        if let Some(ratio) = quality.positive(key) {
            if ratio > 1.0 {
                quality.error(key, format!("is a ratio: at most 1, is {ratio}"));
            } else {
                *limit = Some(ratio);
            }
        }
    }
    if WEIGHTS.iter().any(|key| quality.get(key).is_some()) {
        if weights_given {
            quality.error("lat_weight", "weights stand in quality already");
        } else {
            parse_weights(&mut quality, WEIGHTS, settings);
        }
    }
    quality.warn_of_others(&[&WEIGHTS, &LIMITS]);
}

fn parse_weights(reader: &mut Reader<'_>, keys: [&str; 6], settings: &mut PolicySettings) {
    let before = reader.problems.len();
    let weights = keys.map(|key| reader.number(key, 0.0, 1.0).unwrap_or(0.0));
    if reader.problems.len() > before {
        return;
    }
    let sum: f64 = weights.iter().sum();
    if !(0.99..=1.01).contains(&sum) {
        reader.error(
            keys[0],
            format!("and the other weights make {sum:.3}, not 1"),
        );
        return;
    }
    let [latency, latency_max, variation, loss, errors, availability] = weights;
    settings.quality = QualityWeights {
        latency,
        latency_max,
        variation,
        loss,
        errors,
        availability,
    };
}

/// The name that a policy is based on, if it says so.
pub(super) fn base_name<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    reader
        .get("basePolicy")
        .map(Value::is_string)
        .and_then(|is_text| {
            if is_text {
                reader.text("basePolicy")
            } else {
                reader.error("basePolicy", "must be the name of a policy");
                None
            }
        })
}
