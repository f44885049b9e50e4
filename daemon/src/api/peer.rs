//! `/peer`.

use node::status::{PathStatus, PeerStatus, Role};
use protocol::Instant;
use serde_json::{Value, json};

use super::status::endpoint_text;

/// A role as the API spells it.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leaf => "LEAF",
        Role::Moon => "MOON",
        Role::Planet => "PLANET",
    }
}

/// One peer. `wall` turns the node's time into milliseconds since the Unix epoch.
pub fn to_json(peer: &PeerStatus, wall: impl Fn(Instant) -> u64) -> Value {
    let (major, minor, revision) = match peer.version {
        Some((_, major, minor, revision)) => {
            (i64::from(major), i64::from(minor), i64::from(revision))
        }
        None => (-1, -1, -1),
    };
    let role = role_name(peer.role);
    let paths: Vec<Value> = peer
        .paths
        .iter()
        .map(|path| path_json(path, &wall))
        .collect();
    json!({
        "address": peer.address.to_string(),
        "isBonded": false,
        "latency": peer.latency.map_or(-1, i64::from),
        "paths": paths,
        "role": role,
        "tunneled": false,
        "version": format!("{major}.{minor}.{revision}"),
        "versionMajor": major,
        "versionMinor": minor,
        "versionRev": revision,
    })
}

fn path_json(path: &PathStatus, wall: &impl Fn(Instant) -> u64) -> Value {
    let millis = |time: Option<Instant>| time.map_or(0, wall);
    json!({
        "active": path.alive,
        "address": endpoint_text(path.path.remote),
        "expired": !path.alive,
        "lastReceive": millis(path.last_receive),
        "lastSend": millis(path.last_send),
        "localPort": 0,
        // Opaque, but not 0: that would look like no socket.
        "localSocket": u64::from(path.path.link.0) + 1,
        "preferred": path.preferred,
        "trustedPathId": path.trusted_path_id,
    })
}

#[cfg(test)]
mod tests {
    use node::io::{LinkId, PathKey};

    use super::*;

    #[test]
    fn a_reached_peer_as_captured() {
        let peer = PeerStatus {
            address: "4b3e5f84e8".parse().unwrap(),
            version: Some((12, 1, 14, 1)),
            latency: Some(22),
            role: Role::Moon,
            latencies: Default::default(),
            packets_received: 0,
            packets_sent: 0,
            packet_errors: 0,
            paths: vec![PathStatus {
                path: PathKey {
                    link: LinkId(6),
                    remote: "10.79.0.1:9993".parse().unwrap(),
                },
                last_send: Some(Instant::from_millis(614)),
                last_receive: Some(Instant::from_millis(617)),
                alive: true,
                preferred: true,
                trusted_path_id: 0,
                mtu: 1432,
                latency: Some(22),
            }],
        };
        let json = to_json(&peer, |time| 1_795_197_103_000 + time.as_millis());
        assert_eq!(
            json.to_string(),
            r#"{"address":"4b3e5f84e8","isBonded":false,"latency":22,"paths":[{"active":true,"address":"10.79.0.1/9993","expired":false,"lastReceive":1795197103617,"lastSend":1795197103614,"localPort":0,"localSocket":7,"preferred":true,"trustedPathId":0}],"role":"MOON","tunneled":false,"version":"1.14.1","versionMajor":1,"versionMinor":14,"versionRev":1}"#
        );
    }

    #[test]
    fn an_unreached_peer() {
        let peer = PeerStatus {
            address: "62f865ae71".parse().unwrap(),
            version: None,
            latency: None,
            role: Role::Planet,
            latencies: Default::default(),
            packets_received: 0,
            packets_sent: 0,
            packet_errors: 0,
            paths: vec![],
        };
        let json = to_json(&peer, |_| 0);
        assert_eq!(
            json.to_string(),
            r#"{"address":"62f865ae71","isBonded":false,"latency":-1,"paths":[],"role":"PLANET","tunneled":false,"version":"-1.-1.-1","versionMajor":-1,"versionMinor":-1,"versionRev":-1}"#
        );
    }
}
