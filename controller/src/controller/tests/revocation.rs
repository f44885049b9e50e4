//! Who is put out.

use protocol::verb::ErrorCode;
use serde_json::json;

use super::super::*;
use super::lab::{Lab, M, N, SECRET, revoked};

#[test]
fn deauthorisation_revokes_the_certificate() {
    let mut lab = Lab::new(json!({}));
    for address in [M, N] {
        lab.set_member(address, json!({ "authorized": true }));
        lab.config(address);
    }
    let effects = lab.set_member(M, json!({ "authorized": false }));
    let [revocation] = &effects[..] else {
        panic!("{effects:?}")
    };
    let (to, revocation) = revoked(revocation);
    assert_eq!(to, [Address::from_u64(M), Address::from_u64(N)]);
    assert!(revocation.verify(SECRET.public()));
    assert_eq!(revocation.target, Address::from_u64(M));
    assert_eq!((revocation.kind, revocation.flags), (1, 1));
    assert_eq!(
        (revocation.threshold, revocation.credential_id),
        (lab.now, 0)
    );
    assert_eq!(lab.member(M)["lastDeauthorizedTime"], lab.now);
    let effects = lab.ask(M);
    lab.assert_denied(&effects, ErrorCode::NetworkAccessDenied);
    // Not authorised when it was last seen: no more revocations for it.
    lab.controller
        .delete_member(lab.network, Address::from_u64(N))
        .unwrap();
    let effects = lab.effects();
    let (to, revocation) = revoked(&effects[0]);
    assert_eq!(
        (to, revocation.target.to_u64()),
        (vec![Address::from_u64(N)], N)
    );
    // Created anew, without authorisation.
    let effects = lab.ask(N);
    lab.assert_denied(&effects, ErrorCode::NetworkAccessDenied);
    assert_eq!(lab.member(N)["revision"], 1);
    lab.controller
        .delete_member(lab.network, Address::from_u64(N))
        .unwrap();
    assert_eq!(lab.effects(), []);
    assert_eq!(lab.controller.metrics().member_deauth_count, 2);
}

/// A member asks a minute after its last configuration, so changes at shorter intervals keep it silent for long.
#[test]
fn a_member_that_changes_kept_from_asking_learns_of_a_revocation() {
    let mut lab = Lab::new(json!({ "private": false }));
    lab.config(M);
    lab.config(N);
    for change in 0..3 {
        lab.now += 50_000;
        lab.set_network(json!({ "name": change.to_string() }));
    }
    let effects = lab.set_member(M, json!({ "authorized": false }));
    let (to, revocation) = revoked(&effects[0]);
    assert!(to.contains(&Address::from_u64(N)));
    assert_eq!(revocation.target.to_u64(), M);
    // Nobody has a valid certificate any more.
    lab.now += 30 * 60_000;
    assert_eq!(lab.set_member(N, json!({ "authorized": false })), []);
}

#[test]
fn a_deleted_network_revokes_all_certificates() {
    let mut lab = Lab::new(json!({ "private": false }));
    lab.config(M);
    lab.config(N);
    lab.controller.delete_network(lab.network).unwrap();
    let effects = lab.effects();
    let targets: Vec<u64> = effects
        .iter()
        .map(|effect| {
            let (to, revocation) = revoked(effect);
            assert_eq!(to.len(), 2);
            assert!(revocation.verify(SECRET.public()));
            revocation.target.to_u64()
        })
        .collect();
    assert_eq!(targets, [M, N]);
    let effects = lab.ask(M);
    lab.assert_denied(&effects, ErrorCode::ObjectNotFound);
}
