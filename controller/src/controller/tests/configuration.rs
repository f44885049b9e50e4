//! What members are told, and when.

use protocol::dictionary::Dictionary;
use protocol::network_config::{FLAG_BROADCAST, FLAG_NDP_EMULATION};
use protocol::rule::{Rule, RuleKind};
use serde_json::json;

use super::super::*;
use super::lab::{Lab, M, N, SECRET, identity, is_push, parsed};

#[test]
fn revisions_count_effective_changes_only() {
    let mut lab = Lab::new(json!({ "v6AssignMode": "rfc4193" }));
    lab.ask(M);
    lab.now += 1000 * 200;
    assert_eq!(lab.set_member(M, json!({ "authorized": true })), []);
    lab.config(M);
    assert_eq!(lab.member(M)["revision"], 3);
    let writes = lab.store.writes();
    lab.config(M);
    for body in [
        json!({}),
        json!([]),
        json!(5),
        json!({ "authorized": true, "unknown": 1 }),
    ] {
        assert_eq!(lab.set_member(M, body), []);
    }
    for body in [
        json!({}),
        json!(null),
        json!({ "v6AssignMode": "rfc4193", "id": "x" }),
    ] {
        assert_eq!(lab.set_network(body), []);
    }
    assert_eq!(lab.store.writes(), writes);
    assert_eq!(lab.member(M)["revision"], 3);
    assert_eq!(
        lab.controller.networks[&lab.network].record()["revision"],
        1
    );
}

#[test]
fn a_configuration_says_what_the_records_say() {
    let mut lab = Lab::new(json!({
        "name": "lab net",
        "mtu": 1400,
        "multicastLimit": 16,
        "v6AssignMode": "rfc4193,6plane",
        "routes": [{ "target": "10.79.50.0/24" }, { "target": "10.0.0.0/8", "via": "10.79.50.1" }],
        "dns": { "domain": "lab.example", "servers": ["10.79.50.53"] },
        "rules": [{ "type": "MATCH_ETHERTYPE", "etherType": 2048 }, { "type": "ACTION_ACCEPT" }],
        "capabilities": [
            { "id": 1, "default": true, "rules": [{ "type": "ACTION_ACCEPT" }] },
            { "id": 2, "rules": [{ "type": "ACTION_DROP" }] },
        ],
        "tags": [{ "id": 5, "default": 9 }, { "id": 6, "default": null }],
        "remoteTraceTarget": "0123456789",
        "remoteTraceLevel": 10,
    }));
    lab.set_member(N, json!({ "authorized": true, "activeBridge": true }));
    let body = json!({
        "authorized": true,
        "ipAssignments": ["10.79.50.7"],
        "tags": [[6, 1]],
        "capabilities": [2, 77],
    });
    lab.set_member(M, body);
    let (mine, theirs) = (lab.config(M), lab.config(N));
    assert_eq!(mine.name, "lab net");
    assert_eq!(
        (mine.mtu, mine.multicast_limit, mine.public),
        (1400, 16, false)
    );
    assert_eq!(mine.flags, FLAG_BROADCAST | FLAG_NDP_EMULATION);
    assert_eq!((mine.revision, mine.timestamp), (1, lab.now - 1000));
    assert_eq!(mine.credential_time_max_delta, 1_800_000);
    assert_eq!(mine.assigned_ips.len(), 3);
    assert_eq!(mine.assigned_ips[2].to_string(), "10.79.50.7/24");
    assert_eq!(mine.routes.len(), 2);
    assert_eq!(mine.dns.as_ref().unwrap().servers.len(), 1);
    assert_eq!(
        mine.remote_trace_target,
        Some(Address::from_u64(0x01_2345_6789))
    );
    assert_eq!(mine.remote_trace_level, 10);
    assert_eq!(
        mine.rules,
        [
            Rule::new(RuleKind::EtherType(2048)),
            Rule::new(RuleKind::Accept)
        ]
    );
    assert!(mine.is_active_bridge(Address::from_u64(N)));
    assert!(!mine.is_active_bridge(Address::from_u64(M)));

    let signer = SECRET.public();
    let (com, other) = (mine.membership.unwrap(), theirs.membership.unwrap());
    assert!(com.verify(signer) && other.verify(signer));
    assert!(com.agrees_with(&other, &identity(N)));
    assert!(other.agrees_with(&com, &identity(M)));
    assert!(!com.agrees_with(&other, &identity(M)));
    assert_eq!(com.issued_to(), Address::from_u64(M));
    let tags: Vec<(u32, u32)> = mine.tags.iter().map(|tag| (tag.id, tag.value)).collect();
    assert_eq!(tags, [(5, 9), (6, 1)]);
    assert!(mine.tags.iter().all(|tag| tag.verify(signer)));
    let capabilities: Vec<u32> = mine.capabilities.iter().map(|c| c.id).collect();
    assert_eq!(capabilities, [1, 2]);
    assert!(mine.capabilities.iter().all(|c| c.verify(signer)));
    let [ownership] = &mine.ownership[..] else {
        panic!("one certificate of ownership")
    };
    assert!(ownership.verify(signer));
    assert_eq!(ownership.things.len(), 3);
    for prefix in &mine.assigned_ips {
        assert!(ownership.owns(prefix.ip));
    }
    assert_eq!(lab.member(M)["tags"], json!([[5, 9], [6, 1]]));
    assert_eq!(lab.member(M)["capabilities"], json!([1, 2, 77]));
}

#[test]
fn nodes_without_rules_engine_get_one_accept_rule() {
    let mut lab = Lab::new(json!({
        "private": false,
        "rules": [],
        "tags": [{ "id": 5, "default": 9 }],
    }));
    assert!(lab.config(M).rules.is_empty());
    lab.now += 1000;
    let effects = lab.ask_with(identity(M), &Dictionary::new());
    let config = parsed(&effects[1], M);
    assert_eq!(config.rules, [Rule::new(RuleKind::Accept)]);
    assert!(config.tags.is_empty());
    assert_eq!(lab.member(M)["vMajor"], -1);
}

#[test]
fn a_change_reaches_members_that_are_online() {
    let mut lab = Lab::new(json!({ "private": false }));
    lab.config(M);
    lab.now += 60_000;
    lab.config(N);
    let effects = lab.set_network(json!({ "name": "new name" }));
    assert!(effects.len() == 2 && effects.iter().all(is_push));
    assert_eq!(parsed(&effects[0], M).name, "new name");
    assert_eq!(parsed(&effects[1], N).name, "new name");
    lab.now += 59_000;
    let effects = lab.set_network(json!({ "name": "newer name" }));
    assert_eq!(effects.len(), 1);
    assert_eq!(parsed(&effects[0], N).revision, 3);
    assert_eq!(lab.set_member(M, json!({ "name": "m" })), []);
    let effects = lab.set_member(N, json!({ "ipAssignments": [] , "name": "n" }));
    assert_eq!(effects.len(), 1);
}
