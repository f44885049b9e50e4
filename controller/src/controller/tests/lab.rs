//! A controller with a store that may fail.

use std::sync::{Arc, LazyLock, Mutex};

use protocol::credential::Revocation;
use protocol::dictionary::Dictionary;
use protocol::network_config::NetworkConfig;
use protocol::verb::ErrorCode;
use protocol::{Identity, PacketId};
use serde_json::Value;

use super::super::*;
use crate::StoreError;
use crate::store::memory::MemoryStore;
use crate::store::{Record, StoredNetwork};

pub(super) static SECRET: LazyLock<SecretIdentity> =
    LazyLock::new(|| SecretIdentity::generate(&mut StdRng::seed_from_u64(1)));

/// A store that can be told to fail, and that counts what is written. Clones share their records.
#[derive(Clone, Default)]
pub(super) struct TestStore(Arc<Mutex<(MemoryStore, bool, u32)>>);

impl TestStore {
    pub(super) fn fail(&self, fail: bool) {
        self.0.lock().unwrap().1 = fail;
    }
    pub(super) fn writes(&self) -> u32 {
        self.0.lock().unwrap().2
    }
    pub(super) fn with<T>(
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

pub(super) struct Lab {
    pub(super) controller: Controller,
    pub(super) store: TestStore,
    pub(super) network: NetworkId,
    pub(super) now: u64,
}

pub(super) const M: u64 = 0x5c_d0ba_70f5;
pub(super) const N: u64 = 0xca_f20f_3e73;

pub(super) fn identity(address: u64) -> Identity {
    Identity::from_parts(Address::from_u64(address), [address as u8; 64])
}

pub(super) fn metadata() -> Dictionary {
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
    pub(super) fn new(body: Value) -> Self {
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

    pub(super) fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.controller.poll()).collect()
    }

    pub(super) fn ask_with(&mut self, member: Identity, metadata: &Dictionary) -> Vec<Effect> {
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
    pub(super) fn ask(&mut self, address: u64) -> Vec<Effect> {
        self.now += 1000;
        self.ask_with(identity(address), &metadata())
    }

    pub(super) fn config(&mut self, address: u64) -> NetworkConfig {
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

    pub(super) fn set_member(&mut self, address: u64, body: Value) -> Vec<Effect> {
        let address = Address::from_u64(address);
        self.controller.set_time(self.now);
        let (controller, network) = (&mut self.controller, self.network);
        controller.update_member(network, address, &body).unwrap();
        self.effects()
    }

    pub(super) fn set_network(&mut self, body: Value) -> Vec<Effect> {
        self.controller.set_time(self.now);
        self.controller.update_network(self.network, &body).unwrap();
        self.effects()
    }

    pub(super) fn member(&self, address: u64) -> &Record {
        let network = &self.controller.networks[&self.network];
        network.members()[&Address::from_u64(address)].record()
    }

    pub(super) fn assert_denied(&mut self, effects: &[Effect], expected: ErrorCode) {
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

pub(super) fn parsed(effect: &Effect, address: u64) -> NetworkConfig {
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

pub(super) fn is_push(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Config {
            in_reply_to: None,
            ..
        }
    )
}

pub(super) fn revoked(effect: &Effect) -> (Vec<Address>, Revocation) {
    match effect {
        Effect::Revoke { to, revocation } => (to.clone(), **revocation),
        other => panic!("{other:?}"),
    }
}
