//! The controller as a state machine: requests in, effects out (service specification F.7, F.10).

mod push;
mod records;
mod request;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::controller::{Effect, Request};
use protocol::{Address, NetworkId, SecretIdentity};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::member;
use crate::network::{self, Network};
use crate::store::Store;
use crate::{ControllerError, Metrics};

/// The controller of all networks whose id begins with this node's address.
pub struct Controller {
    pub(crate) identity: SecretIdentity,
    pub(crate) networks: BTreeMap<NetworkId, Network>,
    pub(crate) metrics: Metrics,
    store: Box<dyn Store>,
    random: StdRng,
    effects: VecDeque<Effect>,
    /// Members that get a configuration without having asked, made when the effect is polled.
    pushes: BTreeSet<(NetworkId, Address)>,
    /// Deleted networks whose members' certificates are being revoked.
    deleted: VecDeque<DeletedNetwork>,
    /// The latest time that anyone told.
    now_ms: u64,
    recent_requests: BTreeMap<(NetworkId, Address), u64>,
    recent_requests_swept: u64,
    /// Members whose records changed while the store failed.
    unsaved: BTreeSet<(NetworkId, Address)>,
    next_save_retry: u64,
}

struct DeletedNetwork {
    id: NetworkId,
    at: u64,
    members: Vec<Address>,
    receivers: Vec<Address>,
}

impl Controller {
    /// Loads all records. `seed` feeds the generator of network ids and random addresses.
    pub fn open(
        mut store: Box<dyn Store>,
        identity: SecretIdentity,
        seed: [u8; 32],
    ) -> Result<Self, ControllerError> {
        let mut networks = BTreeMap::new();
        for stored in store.load()? {
            let mut record = stored.record;
            network::complete(&mut record, stored.id);
            let mut network = Network::new(record);
            for (address, mut record) in stored.members {
                member::complete(&mut record, stored.id, address);
                network.set_member(address, record);
            }
            networks.insert(stored.id, network);
        }
        Ok(Self {
            identity,
            networks,
            metrics: Metrics::default(),
            store,
            random: StdRng::from_seed(seed),
            effects: VecDeque::new(),
            pushes: BTreeSet::new(),
            deleted: VecDeque::new(),
            now_ms: 0,
            recent_requests: BTreeMap::new(),
            recent_requests_swept: 0,
            unsaved: BTreeSet::new(),
            next_save_retry: 0,
        })
    }

    /// Handles a member's request at `now_ms`, milliseconds since the Unix epoch. Then call [`Controller::poll`].
    ///
    /// Requests for other controllers' networks and those that follow another one too closely are dropped.
    pub fn handle_request(&mut self, now_ms: u64, request: Request) {
        self.set_time(now_ms);
        let to = request.member.address();
        if request.network.controller() != self.identity.address() || !self.admit(&request) {
            return;
        }
        self.metrics.network_config_request += 1;
        self.metrics.db_get_network_and_member_summary += 1;
        tracing::debug!(network = %request.network, member = %to, from = ?request.from,
            revision = request.have_revision, "configuration requested");
        if let Err(code) = self.answer(&request) {
            tracing::debug!(network = %request.network, member = %to, ?code, "request refused");
            self.effects.push_back(Effect::Error {
                to,
                network: request.network,
                in_reply_to: request.packet,
                code,
            });
        }
    }

    /// The next thing to do, until none is left.
    pub fn poll(&mut self) -> Option<Effect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        if let Some(effect) = self.next_revocation() {
            return Some(effect);
        }
        while let Some((network, to)) = self.pushes.pop_first() {
            if let Some(dictionary) = self.push(network, to) {
                return Some(Effect::Config {
                    to,
                    network,
                    in_reply_to: None,
                    dictionary,
                });
            }
        }
        None
    }

    /// Tries to save what could not be saved so far. To be called before the process ends.
    pub fn save_all(&mut self) {
        if !self.unsaved.is_empty() {
            self.save_again();
        }
    }

    /// Numbers for the metrics page.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            network_count: self.networks.len() as u64,
            member_count: self
                .networks
                .values()
                .map(|network| network.members().len() as u64)
                .sum(),
            ..self.metrics
        }
    }

    /// The clock moves on, or back: then what was remembered about the future is forgotten.
    pub(crate) fn set_time(&mut self, now_ms: u64) {
        if now_ms < self.now_ms {
            self.recent_requests.clear();
            self.recent_requests_swept = now_ms;
            self.next_save_retry = now_ms;
        }
        self.now_ms = now_ms;
        if !self.unsaved.is_empty() && now_ms >= self.next_save_retry {
            self.save_again();
        }
    }

    /// The latest time that anyone told.
    pub(crate) const fn now_ms(&self) -> u64 {
        self.now_ms
    }
}

#[cfg(test)]
mod tests;
