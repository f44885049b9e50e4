//! Who is let in.

use protocol::Identity;
use protocol::verb::ErrorCode;
use serde_json::json;

use super::super::*;
use super::lab::{Lab, M, N, identity, is_push, metadata, parsed};

#[test]
fn unknown_networks_are_not_found_and_foreign_ones_ignored() {
    let mut lab = Lab::new(json!({}));
    let known = lab.network;
    lab.network.0 ^= 1;
    let effects = lab.ask(M);
    lab.assert_denied(&effects, ErrorCode::ObjectNotFound);
    lab.network.0 = known.0 ^ (1 << 40);
    lab.set_network(json!({ "private": false }));
    assert_eq!(lab.ask(M), []);
    assert_eq!(lab.controller.metrics().network_config_request, 1);
}

#[test]
fn a_member_waits_for_authorisation_and_gets_its_configuration_then() {
    let mut lab = Lab::new(json!({
        "v4AssignMode": "zt",
        "routes": [{ "target": "10.79.50.0/24" }],
        "ipAssignmentPools": [{ "ipRangeStart": "10.79.50.1", "ipRangeEnd": "10.79.50.254" }],
    }));
    let effects = lab.ask(M);
    lab.assert_denied(&effects, ErrorCode::NetworkAccessDenied);
    assert_eq!(lab.member(M)["revision"], 1);
    assert_eq!(lab.member(M)["identity"], identity(M).to_string());
    assert_eq!(lab.member(M)["vMajor"], -1);
    let effects = lab.ask(M);
    lab.assert_denied(&effects, ErrorCode::NetworkAccessDenied);
    assert_eq!(lab.member(M)["revision"], 1);
    // It asked a moment ago, so it need not wait until it asks again.
    let effects = lab.set_member(M, json!({ "authorized": true, "name": "n2" }));
    assert!(effects.len() == 1 && is_push(&effects[0]));
    assert_eq!(
        parsed(&effects[0], M).assigned_ips[0].to_string(),
        "10.79.50.29/24"
    );
    lab.config(M);
    let record = lab.member(M);
    assert_eq!(record["ipAssignments"], json!(["10.79.50.29"]));
    assert_eq!(record["lastAuthorizedCredentialType"], "api");
    assert_eq!(record["lastAuthorizedTime"], lab.now - 1000);
    for (key, value) in [("vMajor", 1), ("vMinor", 14), ("vRev", 1), ("vProto", 12)] {
        assert_eq!(record[key], value);
    }
}

#[test]
fn requests_within_a_second_are_dropped() {
    let mut lab = Lab::new(json!({ "private": false }));
    lab.config(M);
    lab.now += 999;
    assert_eq!(lab.ask_with(identity(M), &metadata()), []);
    assert_eq!(lab.ask_with(identity(N), &metadata()).len(), 2);
    lab.now += 1;
    assert_eq!(lab.ask_with(identity(M), &metadata()).len(), 2);
    // The clock was set back by an hour.
    lab.now -= 3_600_000;
    assert_eq!(lab.ask_with(identity(M), &metadata()).len(), 2);
}

#[test]
fn another_identity_of_the_same_address_is_denied() {
    let mut lab = Lab::new(json!({ "private": false }));
    lab.config(M);
    lab.now += 1000;
    let impostor = Identity::from_parts(Address::from_u64(M), [1; 64]);
    let effects = lab.ask_with(impostor, &metadata());
    lab.assert_denied(&effects, ErrorCode::NetworkAccessDenied);
    assert_eq!(lab.member(M)["identity"], identity(M).to_string());
}

#[test]
fn public_networks_and_tokens_let_members_in_for_good() {
    let mut lab = Lab::new(json!({ "private": false }));
    assert!(lab.config(M).public);
    assert_eq!(lab.member(M)["lastAuthorizedCredentialType"], "public");
    assert_eq!(lab.member(M)["authorized"], true);
    lab.set_network(json!({ "private": true, "authTokens": { "good": 0, "old": 5 } }));
    assert!(!lab.config(M).public);
    for (token, admitted) in [("token:old", false), ("good", false), ("token:good", true)] {
        lab.now += 1000;
        let mut metadata = metadata();
        metadata.push("a", token);
        let effects = lab.ask_with(identity(N), &metadata);
        assert_eq!(effects.len() == 2, admitted, "{token}");
    }
    assert_eq!(lab.member(N)["lastAuthorizedCredentialType"], "token");
    assert_eq!(lab.member(N)["lastAuthorizedCredential"], "good");
}

#[test]
fn requests_cannot_fill_the_memory() {
    let mut lab = Lab::new(json!({}));
    for address in 1..=17_000 {
        lab.now += 1;
        lab.ask_with(identity(address), &metadata());
    }
    let members = |lab: &Lab| lab.controller.networks[&lab.network].members().len();
    assert_eq!(members(&lab), 16_384);
    lab.set_member(N, json!({ "authorized": true }));
    lab.config(N);
    assert_eq!(members(&lab), 16_385);
    for address in 1..=70_000 {
        lab.ask_with(identity(address), &metadata());
    }
    assert_eq!(lab.controller.recent_requests.len(), 65_536);
}
