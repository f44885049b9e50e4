//! What is saved, and what if it is not.

use protocol::verb::ErrorCode;
use serde_json::json;

use super::super::*;
use super::lab::{Lab, M, N, SECRET};

#[test]
fn records_survive_a_restart() {
    let mut lab = Lab::new(json!({ "private": false, "v6AssignMode": "rfc4193" }));
    let before = lab.config(M);
    let store = Box::new(lab.store.clone());
    lab.controller = Controller::open(store, SECRET.clone(), [8; 32]).unwrap();
    let writes = lab.store.writes();
    let after = lab.config(M);
    assert_eq!(after.assigned_ips, before.assigned_ips);
    assert_eq!(after.revision, before.revision);
    assert_eq!(lab.store.writes(), writes);
    assert_eq!(lab.controller.metrics().member_count, 1);
}

#[test]
fn nothing_of_a_record_is_lost_in_a_restart() {
    let mut lab = Lab::new(json!({
        "name": "a", "private": true, "dns": {"domain": "x.example", "servers": ["10.1.1.1"]},
        "routes": [{"target": "10.1.0.0/16"}], "v4AssignMode": {"zt": true},
        "ipAssignmentPools": [{"ipRangeStart": "10.1.0.1", "ipRangeEnd": "10.1.0.9"}],
        "tags": [{"id": 1, "default": 2}], "x-unknown": 1,
    }));
    lab.ask(M);
    lab.set_member(
        M,
        json!({ "authorized": true, "tags": [[1, 3]], "name": "m" }),
    );
    lab.config(M);
    lab.set_member(M, json!({ "authorized": false }));
    lab.ask(N);
    lab.set_member(N, json!({ "authorized": true }));
    lab.config(N);
    let everything = |lab: &Lab| {
        let network = &lab.controller.networks[&lab.network];
        let members = [M, N].map(|address| lab.member(address).clone());
        (network.record().clone(), members)
    };
    let before = everything(&lab);
    let store = Box::new(lab.store.clone());
    lab.controller = Controller::open(store, SECRET.clone(), [8; 32]).unwrap();
    assert_eq!(everything(&lab), before);
    let effects = lab.ask(M);
    lab.assert_denied(&effects, ErrorCode::NetworkAccessDenied);
    assert!(lab.config(N).revision > 0);
}

#[test]
fn what_could_not_be_saved_is_tried_once_more_at_the_end() {
    let mut lab = Lab::new(json!({ "private": false }));
    lab.store.fail(true);
    lab.config(M);
    lab.store.fail(false);
    lab.controller.save_all();
    let stored = lab.store.clone().load().unwrap();
    assert_eq!(stored[0].members[0].1, *lab.member(M));
}

#[test]
fn members_are_served_while_the_store_fails() {
    let mut lab = Lab::new(json!({ "private": false }));
    lab.store.fail(true);
    lab.config(M);
    let name = json!({ "name": "x" });
    assert!(lab.controller.update_network(lab.network, &name).is_err());
    assert!(lab.controller.delete_network(lab.network).is_err());
    assert_eq!(lab.effects(), []);
    assert!(lab.config(M).name.is_empty());
    lab.store.fail(false);
    lab.now += 5000;
    lab.config(M);
    let stored = lab.store.clone().load().unwrap();
    assert_eq!(stored[0].members[0].1, *lab.member(M));
}
