//! The controller as a state machine: requests in, effects out (service specification F.7, F.10).

mod push;
mod records;
mod request;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use protocol::credential::Revocation;
use protocol::verb::ErrorCode;
use protocol::{Address, Identity, NetworkId, PacketId, SecretIdentity};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::member;
use crate::network::{self, Network};
use crate::store::Store;
use crate::{ControllerError, Metrics};

/// A member asks for its configuration (protocol specification 7.12).
#[derive(Clone, Debug)]
pub struct Request {
    /// The network that it asks for.
    pub network: NetworkId,
    /// Who asks: authenticated, the identity validated.
    pub member: Identity,
    /// The packet that the answer refers to.
    pub packet: PacketId,
    /// The metadata dictionary, encoded.
    pub metadata: Vec<u8>,
    /// Revision of the configuration that the member holds, 0 if none. It gets a fresh one even if that is the current
    /// revision, as its credentials would become stale otherwise.
    pub have_revision: u64,
    /// Timestamp of the configuration that the member holds, 0 if none.
    pub have_timestamp: u64,
    /// Where the request came from; none for this node itself or if unknown.
    pub from: Option<SocketAddr>,
}

/// Something for the node to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send a configuration, in signed chunks.
    Config {
        /// The member.
        to: Address,
        /// The network.
        network: NetworkId,
        /// The request that this answers; none for a push.
        in_reply_to: Option<PacketId>,
        /// The configuration, an encoded dictionary without terminator.
        dictionary: Vec<u8>,
    },
    /// Answer a request with an error.
    Error {
        /// Who asked.
        to: Address,
        /// The network that it asked for.
        network: NetworkId,
        /// The request that this answers.
        in_reply_to: PacketId,
        /// Why there is no configuration.
        code: ErrorCode,
    },
    /// Send a revocation to members, in a NETWORK_CREDENTIALS packet.
    Revoke {
        /// The receivers.
        to: Vec<Address>,
        /// The revocation, signed.
        revocation: Revocation,
    },
    /// A member was found authorised by a request; for 180 s the node accepts its multicast announcements (protocol
    /// specification 7.10).
    Authorised {
        /// The network.
        network: NetworkId,
        /// The member.
        member: Address,
    },
}

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
