//! How bonds look in the API: the fields of 1.14.1 with their names and types (multipath specification E.3), and more.

use std::collections::BTreeMap;
use std::time::Duration;

use bond::{BasePolicy, BondStatus, CapacitySource, PathStatus, Rehearsal};
use node::io::{Link, PathKey};
use node::status::PeerStatus;
use serde_json::{Map, Value, json};

use crate::api::status::endpoint_text;

/// Version of the fields that 1.14.1 does not have.
const SCHEMA_VERSION: u32 = 1;

/// What times and sockets are translated with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Milliseconds since the Unix epoch.
    pub wall_now: u64,
    /// Open sockets.
    pub links: &'a [Link],
}

/// Turns the object of a peer into that of a bonded peer.
pub fn add_bond(object: &mut Value, peer: &PeerStatus, bond: &BondStatus, context: Context<'_>) {
    let Value::Object(object) = object else {
        return;
    };
    let paths: Vec<Value> = bond
        .paths
        .iter()
        .map(|path| path_json(path, peer, context))
        .collect();
    let queue: Vec<Value> = bond
        .queue
        .iter()
        .filter_map(|id| bond.paths.iter().find(|path| path.id == *id))
        .map(|path| Value::from(path_name(path)))
        .collect();
    let fields = json!({
        "bondingPolicyCode": bond.base.code(),
        "bondingPolicyStr": bond.base.name(),
        "downDelay": millis(bond.down_delay),
        "failoverInterval": millis(bond.failover_interval),
        "failoverQueue": queue,
        "isBonded": true,
        "linkSelectMethod": bond.link_select.code(),
        "linkSelectMethodStr": bond.link_select.name(),
        "links": links_json(bond),
        "numAliveLinks": bond.alive_links,
        "numTotalLinks": bond.total_links,
        "packetsPerLink": bond.packets_per_link,
        "paths": paths,
        "policyName": bond.policy_name,
        "schemaVersion": SCHEMA_VERSION,
        "status": bond.state.name(),
        "upDelay": millis(bond.up_delay),
    });
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
}

fn path_json(path: &PathStatus, peer: &PeerStatus, context: Context<'_>) -> Value {
    let link = context
        .links
        .iter()
        .find(|link| link.local == path.local && link.interface == path.interface);
    let known = link.and_then(|link| {
        let key = PathKey {
            link: link.id,
            remote: path.remote,
        };
        peer.paths.iter().find(|known| known.path == key)
    });
    let age = |age: Option<Duration>| age.map_or(context.wall_now, millis);
    let at =
        |age: Option<Duration>| age.map_or(0, |age| context.wall_now.saturating_sub(millis(age)));
    let latency = |time: Option<Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let (capacity, source) = capacity(path.capacity);
    let declared = match path.capacity {
        Some((capacity, CapacitySource::Declared)) => capacity,
        _ => 0,
    };
    json!({
        "active": path.alive,
        "address": endpoint_text(path.remote),
        "allocation": path.allocation,
        "assignedFlowCount": path.slots,
        "availability": path.availability,
        "bonded": u8::from(path.bonded),
        "bytesReceived": path.bytes.1,
        "bytesSent": path.bytes.0,
        "capacity": capacity,
        "capacitySource": source,
        "condition": path.condition,
        "eligible": u8::from(path.eligible),
        "expired": !path.alive,
        "givenLinkSpeed": declared,
        "ifname": path.interface,
        "isActive": path.active,
        "lastInAge": age(path.received_age),
        "lastOutAge": age(path.sent_age),
        "lastReceive": at(path.received_age),
        "lastSend": at(path.sent_age),
        "latencyMax": latency(path.latency_max),
        "latencyMean": latency(path.latency),
        "latencyVariance": latency(path.variation),
        "linkMode": path.mode.name(),
        "localPort": path.local.port(),
        "mtu": known.map(|known| known.mtu),
        "localSocket": link.map_or(0, |link| u64::from(link.id.0) + 1),
        "packetErrorRatio": path.error_ratio,
        "packetLossRatio": path.loss,
        "preferred": path.preferred,
        "proofAge": path.proof_age.map(millis),
        "punishmentMs": millis(path.punishment),
        "rateReceived": path.rates.1,
        "rateSent": path.rates.0,
        // Kept in single precision: further digits are noise.
        "relativeQuality": (path.quality * 1e6).round() / 1e6,
        "trustedPathId": known.map_or(0, |known| known.trusted_path_id),
    })
}

/// A link is an interface; its paths' numbers together.
fn links_json(bond: &BondStatus) -> Vec<Value> {
    let mut by_interface: BTreeMap<&str, Vec<&PathStatus>> = BTreeMap::new();
    for path in &bond.paths {
        by_interface.entry(&path.interface).or_default().push(path);
    }
    by_interface
        .into_iter()
        .map(|(name, paths)| {
            let best = paths
                .iter()
                .filter_map(|path| path.capacity)
                .max_by_key(|(speed, _)| *speed);
            let (capacity, source) = capacity(best);
            let sum = |of: fn(&PathStatus) -> u64| paths.iter().map(|path| of(path)).sum::<u64>();
            json!({
                "alive": paths.iter().any(|path| path.alive),
                "allocation": paths.iter().map(|path| path.allocation).sum::<f64>(),
                "bytesReceived": sum(|path| path.bytes.1),
                "bytesSent": sum(|path| path.bytes.0),
                "capacity": capacity,
                "capacitySource": source,
                "eligible": paths.iter().any(|path| path.eligible),
                "ifname": name,
                "mode": paths.first().map_or("", |path| path.mode.name()),
                "paths": paths.len(),
                "rateReceived": sum(|path| path.rates.1),
                "rateSent": sum(|path| path.rates.0),
            })
        })
        .collect()
}

fn capacity(capacity: Option<(u64, CapacitySource)>) -> (Value, &'static str) {
    match capacity {
        None => (Value::Null, "unknown"),
        Some((speed, CapacitySource::Declared)) => (speed.into(), "declared"),
        Some((speed, CapacitySource::Measured)) => (speed.into(), "measured"),
        Some((speed, CapacitySource::Estimated)) => (speed.into(), "estimated"),
    }
}

/// `wan1/10.78.1.2/9993`
fn path_name(path: &PathStatus) -> String {
    format!("{}/{}", path.interface, endpoint_text(path.remote))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A peer without a bond, and why.
pub fn unbonded(peer: &PeerStatus, reason: &str) -> Value {
    let role = crate::api::peer::role_name(peer.role);
    json!({"peer": peer.address.to_string(), "reason": reason, "role": role})
}

/// What would carry the traffic of each path in use, if it failed.
pub fn rehearsal(bond: &BondStatus, rehearsals: &[Rehearsal]) -> Value {
    let find = |id| bond.paths.iter().find(|path| path.id == id);
    let next = |id| {
        let path = find(id)?;
        Some(json!({
            "condition": path.condition,
            "lastInAge": path.received_age.map(millis),
            "path": path_name(path),
            "proofAge": path.proof_age.map(millis),
        }))
    };
    let failures = rehearsals.iter().filter_map(|rehearsal| {
        let failing = path_name(find(rehearsal.failing)?);
        let next: Vec<Value> = rehearsal.next.iter().copied().filter_map(next).collect();
        Some(json!({"next": next, "path": failing}))
    });
    json!({
        "failures": failures.collect::<Vec<_>>(),
        "peer": bond.peer.to_string(),
        "policyName": bond.policy_name,
        "schemaVersion": SCHEMA_VERSION,
        "status": bond.state.name(),
    })
}

/// An answer to an order: what changed, or why nothing did.
pub fn answer(result: Result<String, String>) -> (u16, Value) {
    let (status, key, text) = match result {
        Ok(text) => (200, "result", text),
        Err(text) => (400, "error", text),
    };
    (
        status,
        Value::Object(Map::from_iter([(key.to_owned(), text.into())])),
    )
}

/// Is a policy of that base there to be rotated?
pub fn can_rotate(bond: &BondStatus) -> bool {
    bond.base == BasePolicy::ActiveBackup
}

#[cfg(test)]
mod tests {
    use bond::config::{LinkMode, LinkSelectMethod};
    use bond::{BondState, PathId};
    use node::io::LinkId;
    use node::status::Role;

    use super::*;

    fn path(id: u32, interface: &str, active: bool) -> PathStatus {
        PathStatus {
            id: PathId(id),
            interface: interface.to_owned(),
            local: format!("10.78.{id}.1:9993").parse().unwrap(),
            remote: format!("10.78.{id}.2:9993").parse().unwrap(),
            mode: LinkMode::Primary,
            alive: true,
            eligible: true,
            bonded: !active,
            active,
            preferred: true,
            condition: "up",
            latency: Some(Duration::from_micros(3100)),
            latency_max: Some(Duration::from_millis(9)),
            variation: None,
            loss: 0.001,
            error_ratio: 0.0,
            availability: 0.999,
            capacity: Some((50, CapacitySource::Declared)),
            quality: 1.0,
            allocation: 0.5,
            slots: 7,
            bytes: (100, 200),
            rates: (10, 20),
            received_age: Some(Duration::from_millis(34)),
            sent_age: None,
            proof_age: Some(Duration::from_millis(40)),
            punishment: Duration::from_secs(12),
        }
    }

    fn bonded() -> Value {
        let bond = BondStatus {
            peer: "eb225dd0bd".parse().unwrap(),
            base: BasePolicy::ActiveBackup,
            policy_name: "office".to_owned(),
            state: BondState::Healthy,
            alive_links: 2,
            total_links: 2,
            failover_interval: Duration::from_secs(5),
            up_delay: Duration::ZERO,
            down_delay: Duration::from_millis(1),
            packets_per_link: 64,
            link_select: LinkSelectMethod::Always,
            queue: vec![PathId(2)],
            paths: vec![path(1, "wan1", true), path(2, "wan2", false)],
        };
        let peer = PeerStatus {
            address: bond.peer,
            version: Some((13, 1, 14, 1)),
            latency: Some(3),
            role: Role::Leaf,
            latencies: Default::default(),
            packets_received: 0,
            packets_sent: 0,
            packet_errors: 0,
            paths: vec![],
        };
        let links = [Link {
            id: LinkId(6),
            local: "10.78.1.1:9993".parse().unwrap(),
            interface: "wan1".to_owned(),
            hardware_address: None,
        }];
        let context = Context {
            wall_now: 1_795_197_180_675,
            links: &links,
        };
        let mut object = crate::api::peer::to_json(&peer, |_| 0);
        add_bond(&mut object, &peer, &bond, context);
        object
    }

    #[test]
    fn a_bond_has_all_fields_of_the_reference_with_their_types() {
        let object = bonded();
        for (key, expected) in [
            ("address", json!("eb225dd0bd")),
            ("isBonded", json!(true)),
            ("tunneled", json!(false)),
            ("bondingPolicyCode", json!(1)),
            ("bondingPolicyStr", json!("active-backup")),
            ("numAliveLinks", json!(2)),
            ("numTotalLinks", json!(2)),
            ("failoverInterval", json!(5000)),
            ("upDelay", json!(0)),
            ("downDelay", json!(1)),
            ("packetsPerLink", json!(64)),
            ("policyName", json!("office")),
            ("linkSelectMethod", json!(0)),
            ("linkSelectMethodStr", json!("always")),
            ("status", json!("Healthy")),
            ("failoverQueue", json!(["wan2/10.78.2.2/9993"])),
        ] {
            assert_eq!(object[key], expected, "{key}");
        }
        let path = &object["paths"][0];
        for (key, expected) in [
            ("address", json!("10.78.1.2/9993")),
            ("ifname", json!("wan1")),
            ("localPort", json!(9993)),
            ("localSocket", json!(7)),
            ("active", json!(true)),
            ("expired", json!(false)),
            ("preferred", json!(true)),
            ("trustedPathId", json!(0)),
            ("lastReceive", json!(1_795_197_180_641_u64)),
            ("lastSend", json!(0)),
            ("lastInAge", json!(34)),
            ("latencyMean", json!(3.1)),
            ("latencyVariance", json!(0.0)),
            ("packetLossRatio", json!(0.001)),
            ("packetErrorRatio", json!(0.0)),
            ("relativeQuality", json!(1.0)),
            ("assignedFlowCount", json!(7)),
            ("givenLinkSpeed", json!(50)),
            ("bonded", json!(0)),
            ("eligible", json!(1)),
            ("isActive", json!(true)),
            ("linkMode", json!("primary")),
            ("punishmentMs", json!(12000)),
        ] {
            assert_eq!(path[key], expected, "{key}");
        }
        assert_eq!(object["paths"][1]["localSocket"], 0, "its socket is gone");
        assert_eq!(object["links"][1]["ifname"], "wan2");
        assert_eq!(object["links"][1]["allocation"], 0.5);
    }

    #[test]
    fn orders_are_answered_with_what_changed_or_why_not() {
        assert_eq!(
            answer(Ok("done".to_owned())),
            (200, json!({"result": "done"}))
        );
        assert_eq!(answer(Err("no".to_owned())), (400, json!({"error": "no"})));
    }
}
