use std::sync::{Arc, LazyLock, Mutex};

use protocol::credential::Revocation;
use protocol::dictionary::Dictionary;
use protocol::network_config::{FLAG_BROADCAST, FLAG_NDP_EMULATION, NetworkConfig};
use protocol::rule::{Rule, RuleKind};
use serde_json::{Value, json};

use super::*;
use crate::StoreError;
use crate::store::memory::MemoryStore;
use crate::store::{Record, StoredNetwork};

static SECRET: LazyLock<SecretIdentity> =
    LazyLock::new(|| SecretIdentity::generate(&mut StdRng::seed_from_u64(1)));

/// A store that can be told to fail, and that counts what is written. Clones share their records.
#[derive(Clone, Default)]
struct TestStore(Arc<Mutex<(MemoryStore, bool, u32)>>);

impl TestStore {
    fn fail(&self, fail: bool) {
        self.0.lock().unwrap().1 = fail;
    }
    fn writes(&self) -> u32 {
        self.0.lock().unwrap().2
    }
    fn with<T>(
        &self,
        act: impl FnOnce(&mut MemoryStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut inner = self.0.lock().unwrap();
        if inner.1 {
            return Err(StoreError::File {
                path: "test".into(),
                source: std::io::ErrorKind::StorageFull.into(),
            });
        }
        inner.2 += 1;
        act(&mut inner.0)
    }
}

impl Store for TestStore {
    fn load(&mut self) -> Result<Vec<StoredNetwork>, StoreError> {
        self.with(MemoryStore::load)
    }
    fn put_network(&mut self, id: NetworkId, record: &Record) -> Result<(), StoreError> {
        self.with(|store| store.put_network(id, record))
    }
    fn delete_network(&mut self, id: NetworkId) -> Result<(), StoreError> {
        self.with(|store| store.delete_network(id))
    }
    fn put_member(&mut self, n: NetworkId, m: Address, r: &Record) -> Result<(), StoreError> {
        self.with(|store| store.put_member(n, m, r))
    }
    fn delete_member(&mut self, network: NetworkId, member: Address) -> Result<(), StoreError> {
        self.with(|store| store.delete_member(network, member))
    }
}

struct Lab {
    controller: Controller,
    store: TestStore,
    network: NetworkId,
    now: u64,
}

const M: u64 = 0x5c_d0ba_70f5;
const N: u64 = 0xca_f20f_3e73;

fn identity(address: u64) -> Identity {
    Identity::from_parts(Address::from_u64(address), [address as u8; 64])
}

fn metadata() -> Dictionary {
    let mut metadata = Dictionary::new();
    for (key, value) in [
        ("majv", 1),
        ("minv", 14),
        ("revv", 1),
        ("pv", 12),
        ("revr", 1),
    ] {
        metadata.push_u64(key, value);
    }
    metadata
}

impl Lab {
    /// A network made from a body.
    fn new(body: Value) -> Self {
        let store = TestStore::default();
        let mut controller =
            Controller::open(Box::new(store.clone()), SECRET.clone(), [7; 32]).unwrap();
        controller.set_time(1_795_197_000_000);
        let network = controller.free_network_id().unwrap();
        controller.update_network(network, &body).unwrap();
        assert_eq!(controller.poll(), None);
        Self {
            controller,
            store,
            network,
            now: 1_795_197_000_000,
        }
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.controller.poll()).collect()
    }

    fn ask_with(&mut self, member: Identity, metadata: &Dictionary) -> Vec<Effect> {
        let request = Request {
            network: self.network,
            member,
            packet: PacketId(99),
            metadata: metadata.encode(),
            have_revision: 0,
            have_timestamp: 0,
            from: None,
        };
        self.controller.handle_request(self.now, request);
        self.effects()
    }

    /// A second later, a member asks.
    fn ask(&mut self, address: u64) -> Vec<Effect> {
        self.now += 1000;
        self.ask_with(identity(address), &metadata())
    }

    fn config(&mut self, address: u64) -> NetworkConfig {
        let effects = self.ask(address);
        let [Effect::Authorised { member, .. }, config] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!(*member, Address::from_u64(address));
        assert!(matches!(
            config,
            Effect::Config {
                in_reply_to: Some(PacketId(99)),
                ..
            }
        ));
        parsed(config, address)
    }

    fn set_member(&mut self, address: u64, body: Value) -> Vec<Effect> {
        let address = Address::from_u64(address);
        self.controller.set_time(self.now);
        let (controller, network) = (&mut self.controller, self.network);
        controller.update_member(network, address, &body).unwrap();
        self.effects()
    }

    fn set_network(&mut self, body: Value) -> Vec<Effect> {
        self.controller.set_time(self.now);
        self.controller.update_network(self.network, &body).unwrap();
        self.effects()
    }

    fn member(&self, address: u64) -> &Record {
        let network = &self.controller.networks[&self.network];
        network.members()[&Address::from_u64(address)].record()
    }

    fn assert_denied(&mut self, effects: &[Effect], expected: ErrorCode) {
        let [
            Effect::Error {
                code,
                in_reply_to,
                network,
                ..
            },
        ] = effects
        else {
            panic!("{effects:?}")
        };
        assert_eq!((*code, *in_reply_to), (expected, PacketId(99)));
        assert_eq!(*network, self.network);
    }
}

fn parsed(effect: &Effect, address: u64) -> NetworkConfig {
    let Effect::Config {
        to,
        dictionary,
        network,
        ..
    } = effect
    else {
        panic!("{effect:?}")
    };
    assert_eq!(*to, Address::from_u64(address));
    let config = NetworkConfig::from_dictionary(&Dictionary::decode(dictionary)).unwrap();
    assert_eq!((config.network, config.issued_to), (*network, *to));
    config
}

fn is_push(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Config {
            in_reply_to: None,
            ..
        }
    )
}

fn revoked(effect: &Effect) -> (Vec<Address>, Revocation) {
    match effect {
        Effect::Revoke { to, revocation } => (to.clone(), *revocation),
        other => panic!("{other:?}"),
    }
}

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
