//! Why a peer has no bond, in words for its operator.

use bond::BondSettings;
use node::status::{PeerStatus, Role};

/// The reason, given that there is no bond with this peer.
pub fn reason(settings: &BondSettings, peer: &PeerStatus) -> String {
    if peer.role != Role::Leaf {
        return "a root, and roots are never bonded".to_owned();
    }
    if !settings.is_in_use() {
        return "no bonding policy is set".to_owned();
    }
    let Some(policy) = settings.policy_for(peer.address) else {
        return "its policy is none".to_owned();
    };
    if peer.paths.is_empty() {
        return format!("its policy is {}, but there is no direct path", policy.name);
    }
    if !peer.paths.iter().any(|path| path.alive) {
        return format!("its policy is {}, but no direct path works", policy.name);
    }
    format!(
        "its policy is {}, the bond is about to be made",
        policy.name
    )
}

#[cfg(test)]
mod tests {
    use node::io::{LinkId, PathKey};
    use node::status::PathStatus;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_reason_has_its_words() {
        let mut peer = PeerStatus {
            address: "eb225dd0bd".parse().unwrap(),
            version: None,
            latency: None,
            role: Role::Planet,
            latencies: Default::default(),
            packets_received: 0,
            packets_sent: 0,
            packet_errors: 0,
            paths: vec![],
        };
        let settings = |json| BondSettings::parse(&json).0;
        let off = settings(json!({}));
        let on = settings(json!({"defaultBondingPolicy": "balance-rr"}));
        let excepted = settings(json!({"defaultBondingPolicy": "balance-rr",
            "peerSpecificBonds": {"eb225dd0bd": "none"}}));
        assert!(reason(&on, &peer).contains("roots are never bonded"));
        peer.role = Role::Leaf;
        assert_eq!(reason(&off, &peer), "no bonding policy is set");
        assert_eq!(reason(&excepted, &peer), "its policy is none");
        assert!(reason(&on, &peer).contains("balance-rr, but there is no direct path"));
        peer.paths.push(PathStatus {
            path: PathKey {
                link: LinkId(1),
                remote: "10.79.0.1:9993".parse().unwrap(),
            },
            last_send: None,
            last_receive: None,
            alive: false,
            preferred: false,
            trusted_path_id: 0,
            mtu: 1432,
            latency: None,
        });
        assert!(reason(&on, &peer).contains("no direct path works"));
        peer.paths[0].alive = true;
        assert!(reason(&on, &peer).contains("about to be made"));
    }
}
