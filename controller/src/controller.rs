//! The controller as a state machine: requests in, effects out (service specification F.7, F.10).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use protocol::credential::{CredentialKind, REVOCATION_FAST_PROPAGATE, Revocation};
use protocol::dictionary::Dictionary;
use protocol::verb::ErrorCode;
use protocol::{Address, Identity, NetworkId, PacketId, SecretIdentity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::assign::{self, Assignment};
use crate::issue;
use crate::member::{self, KnownIdentity, Presence};
use crate::network::{self, Network};
use crate::store::{Record, Store};
use crate::{ControllerError, Metrics, StoreError};

/// Shortest time between two requests of a member that are answered, ms.
const REQUEST_INTERVAL: u64 = 1000;
/// Most requests whose times are remembered: more distinct ones within [`REQUEST_INTERVAL`] are dropped.
const MAX_RECENT_REQUESTS: usize = 65_536;
/// Most unauthorised members of a network that requests create. Clients of the HTTP interface may create more.
const MAX_UNAUTHORISED: usize = 16_384;
/// Most members of a network that requests create.
const MAX_MEMBERS: usize = 262_144;
/// Time between attempts to save what could not be saved, ms.
const SAVE_RETRY_INTERVAL: u64 = 5000;
/// Attempts to find a free network id.
const ID_ATTEMPTS: usize = 1000;

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

    /// At most one request per member and interval.
    fn admit(&mut self, request: &Request) -> bool {
        let now = self.now_ms;
        let recent = |at: u64| now.saturating_sub(at) < REQUEST_INTERVAL;
        if self.recent_requests.len() >= MAX_RECENT_REQUESTS {
            self.recent_requests.retain(|_, at| recent(*at));
        }
        let key = (request.network, request.member.address());
        let known = self.recent_requests.get(&key);
        let refused = match known {
            Some(at) => recent(*at),
            None => self.recent_requests.len() >= MAX_RECENT_REQUESTS,
        };
        if !refused {
            self.recent_requests.insert(key, now);
        }
        !refused
    }

    fn answer(&mut self, request: &Request) -> Result<(), ErrorCode> {
        let (id, address) = (request.network, request.member.address());
        let now = self.now_ms;
        let network = self.networks.get(&id).ok_or(ErrorCode::ObjectNotFound)?;
        let settings = network.settings();
        let metadata = Dictionary::decode(&request.metadata);
        let (mut record, known) = match network.members().get(&address) {
            Some(member) => (member.record().clone(), member.settings().identity.clone()),
            None => (member::new_record(id, address, now), KnownIdentity::None),
        };
        match known {
            KnownIdentity::Known(identity) if identity == request.member => {}
            KnownIdentity::None => {
                record.insert("identity".into(), request.member.to_string().into());
                add_default_capabilities(&mut record, settings);
            }
            _ => return Err(ErrorCode::NetworkAccessDenied),
        }
        let credential = credential(&record, settings, &metadata, now);
        if let Some(Credential::New(kind, value)) = &credential {
            member::authorise(&mut record, kind, value.clone(), now);
        }
        let authorised = credential.is_some();
        if !network.members().contains_key(&address) && is_full(network, authorised) {
            tracing::warn!(network = %id, member = %address, "too many members, request refused");
            return Err(ErrorCode::NetworkAccessDenied);
        }
        let presence = Presence {
            at: now,
            authorised,
            rules_engine: metadata
                .get_u64("revr")
                .is_some_and(|revision| revision > 0),
        };
        if !authorised {
            self.keep_member(id, address, record, Some(presence));
            return Err(ErrorCode::NetworkAccessDenied);
        }
        for (key, name) in [
            ("vMajor", "majv"),
            ("vMinor", "minv"),
            ("vRev", "revv"),
            ("vProto", "pv"),
        ] {
            let version = metadata.get_u64(name).map_or(Value::from(-1), Value::from);
            record.insert(key.into(), version);
        }
        let dictionary = self
            .configure(id, &request.member, record, presence)
            .ok_or(ErrorCode::ObjectNotFound)?;
        self.effects.push_back(Effect::Authorised {
            network: id,
            member: address,
        });
        self.effects.push_back(Effect::Config {
            to: address,
            network: id,
            in_reply_to: Some(request.packet),
            dictionary,
        });
        Ok(())
    }

    /// Makes the configuration of an authorised member; addresses and tags that it gets are kept in its record.
    fn configure(
        &mut self,
        id: NetworkId,
        identity: &Identity,
        mut record: Record,
        presence: Presence,
    ) -> Option<Vec<u8>> {
        let address = identity.address();
        let network = self.networks.get(&id)?;
        let mut settings = member::Member::new(record.clone()).settings().clone();
        let mut new_tags = false;
        for (tag, default) in &network.settings().tags {
            if let (Some(value), false) = (default, settings.tags.contains_key(tag)) {
                settings.tags.insert(*tag, *value);
                new_tags = true;
            }
        }
        if new_tags {
            record.insert("tags".into(), member::render_tags(&settings.tags));
        }
        let assignment = assign::assign(id, network, address, &settings, &mut self.random);
        add_addresses(&mut record, &assignment);
        self.keep_member(id, address, record, Some(presence));
        let network = self.networks.get(&id)?;
        let config = issue::issue(
            &self.identity,
            self.now_ms,
            (id, network),
            (identity, &settings),
            &assignment,
            presence.rules_engine,
        );
        Some(config.to_dictionary().encode())
    }

    /// A configuration that was not asked for, if the member is there to take it.
    fn push(&mut self, id: NetworkId, address: Address) -> Option<Vec<u8>> {
        let member = self.networks.get(&id)?.members().get(&address)?;
        let presence = member.presence.filter(|p| p.is_online(self.now_ms))?;
        let KnownIdentity::Known(identity) = &member.settings().identity else {
            return None;
        };
        if !member.settings().authorised {
            return None;
        }
        let (identity, record) = (identity.clone(), member.record().clone());
        let presence = Presence {
            authorised: true,
            ..presence
        };
        self.configure(id, &identity, record, presence)
    }

    /// Every member of a network that is online gets a new configuration.
    fn push_all(&mut self, id: NetworkId) {
        if let Some(network) = self.networks.get(&id) {
            let online = online(network, self.now_ms).map(|(address, _)| (id, address));
            self.pushes.extend(online);
        }
    }

    fn next_revocation(&mut self) -> Option<Effect> {
        loop {
            let deleted = self.deleted.front_mut()?;
            let Some(target) = deleted.members.pop() else {
                self.deleted.pop_front();
                continue;
            };
            let (id, at, to) = (deleted.id, deleted.at, deleted.receivers.clone());
            let revocation = self.revocation(id, target, at);
            return Some(Effect::Revoke { to, revocation });
        }
    }

    fn revocation(&mut self, id: NetworkId, target: Address, threshold: u64) -> Revocation {
        let number = self.random.next_u32();
        Revocation::issue(
            &self.identity,
            id,
            target,
            CredentialKind::Membership,
            number,
            0,
            threshold,
            REVOCATION_FAST_PROPAGATE,
        )
    }

    /// Tells the members that are online to refuse frames of a member that was authorised until now.
    fn revoke(&mut self, id: NetworkId, target: Address) {
        self.metrics.member_deauth_count += 1;
        let Some(network) = self.networks.get(&id) else {
            return;
        };
        let to = receivers(network, self.now_ms);
        if !to.is_empty() {
            let revocation = self.revocation(id, target, self.now_ms);
            self.effects.push_back(Effect::Revoke { to, revocation });
        }
    }
}

/// Changes of records.
impl Controller {
    /// A free network id, or none.
    pub(crate) fn free_network_id(&mut self) -> Option<NetworkId> {
        let address = self.identity.address().to_u64();
        (0..ID_ATTEMPTS)
            .map(|_| NetworkId(address << 24 | u64::from(self.random.next_u32() >> 8)))
            .find(|id| id.0 & 0xff_ffff != 0 && !self.networks.contains_key(id))
    }

    /// Creates or changes a network as a client asks. A body that is no object changes nothing.
    pub(crate) fn update_network(&mut self, id: NetworkId, body: &Value) -> Result<(), StoreError> {
        let old = self.networks.get(&id).map(Network::record);
        let mut record = match old {
            Some(old) => old.clone(),
            None => network::new_record(id, self.now_ms),
        };
        if let Some(body) = body.as_object() {
            network::apply(&mut record, body);
        }
        if old == Some(&record) {
            return Ok(());
        }
        count_revision(&mut record);
        self.store.put_network(id, &record)?;
        self.metrics.network_change_count += 1;
        self.metrics.db_network_change += 1;
        match self.networks.get_mut(&id) {
            Some(network) => network.set_record(record),
            None => {
                self.networks.insert(id, Network::new(record));
            }
        }
        self.push_all(id);
        Ok(())
    }

    /// Deletes a network with its members; the record that it had, or none if it is unknown.
    pub(crate) fn delete_network(&mut self, id: NetworkId) -> Result<Option<Record>, StoreError> {
        if !self.networks.contains_key(&id) {
            return Ok(None);
        }
        self.store.delete_network(id)?;
        self.metrics.network_change_count += 1;
        self.metrics.db_network_change += 1;
        let Some(network) = self.networks.remove(&id) else {
            return Ok(None);
        };
        self.unsaved.retain(|(network, _)| *network != id);
        let receivers = receivers(&network, self.now_ms);
        let authorised = network.members().iter().rev();
        let members: Vec<Address> = authorised
            .filter(|(_, member)| member.settings().authorised)
            .map(|(address, _)| *address)
            .collect();
        self.metrics.member_deauth_count += members.len() as u64;
        if !receivers.is_empty() {
            self.deleted.push_back(DeletedNetwork {
                id,
                at: self.now_ms,
                members,
                receivers,
            });
        }
        Ok(Some(network.record().clone()))
    }

    /// Creates or changes a member of an existing network as a client asks.
    pub(crate) fn update_member(
        &mut self,
        id: NetworkId,
        address: Address,
        body: &Value,
    ) -> Result<(), StoreError> {
        let Some(network) = self.networks.get(&id) else {
            return Ok(());
        };
        let old = network.members().get(&address);
        let was_authorised = old.is_some_and(|member| member.settings().authorised);
        let mut record = match old {
            Some(old) => old.record().clone(),
            None => member::new_record(id, address, self.now_ms),
        };
        if let Some(body) = body.as_object() {
            member::apply(&mut record, body, self.now_ms);
        }
        if old.is_some_and(|old| *old.record() == record) {
            return Ok(());
        }
        count_revision(&mut record);
        self.store.put_member(id, address, &record)?;
        self.unsaved.remove(&(id, address));
        self.set_member(id, address, record);
        let is_authorised = self
            .networks
            .get(&id)
            .and_then(|network| network.members().get(&address))
            .is_some_and(|member| member.settings().authorised);
        if was_authorised && !is_authorised {
            self.revoke(id, address);
        }
        self.pushes.insert((id, address));
        Ok(())
    }

    /// Deletes a member; the record that it had, or none if it is unknown.
    pub(crate) fn delete_member(
        &mut self,
        id: NetworkId,
        address: Address,
    ) -> Result<Option<Record>, StoreError> {
        let member = self
            .networks
            .get(&id)
            .and_then(|network| network.members().get(&address));
        let Some(member) = member else {
            return Ok(None);
        };
        let (record, authorised) = (member.record().clone(), member.settings().authorised);
        self.store.delete_member(id, address)?;
        self.unsaved.remove(&(id, address));
        self.metrics.member_change_count += 1;
        self.metrics.db_member_change += 1;
        if authorised {
            self.revoke(id, address);
        }
        if let Some(network) = self.networks.get_mut(&id) {
            network.remove_member(address);
        }
        Ok(Some(record))
    }

    /// Takes over what a request changed in a member's record. If the store fails, members are served all the same and
    /// saving is tried again later.
    fn keep_member(
        &mut self,
        id: NetworkId,
        address: Address,
        mut record: Record,
        presence: Option<Presence>,
    ) {
        let Some(network) = self.networks.get(&id) else {
            return;
        };
        let old = network.members().get(&address);
        if old.is_none_or(|old| *old.record() != record) {
            count_revision(&mut record);
            if let Err(error) = self.store.put_member(id, address, &record) {
                tracing::warn!(network = %id, member = %address, %error, "member not saved");
                self.unsaved.insert((id, address));
                self.next_save_retry = self.now_ms + SAVE_RETRY_INTERVAL;
            }
            self.set_member(id, address, record);
        }
        if let Some(member) = self
            .networks
            .get_mut(&id)
            .and_then(|network| network.member_mut(address))
        {
            member.presence = presence;
        }
    }

    fn set_member(&mut self, id: NetworkId, address: Address, record: Record) {
        self.metrics.member_change_count += 1;
        self.metrics.db_member_change += 1;
        if let Some(network) = self.networks.get_mut(&id) {
            network.set_member(address, record);
            if network.members()[&address].settings().authorised {
                self.metrics.member_auth_count += 1;
            }
        }
    }

    fn save_again(&mut self) {
        self.next_save_retry = self.now_ms + SAVE_RETRY_INTERVAL;
        while let Some((id, address)) = self.unsaved.first().copied() {
            let member = self
                .networks
                .get(&id)
                .and_then(|network| network.members().get(&address));
            if let Some(member) = member
                && let Err(error) = self.store.put_member(id, address, member.record())
            {
                tracing::warn!(waiting = self.unsaved.len(), %error, "members still not saved");
                return;
            }
            self.unsaved.remove(&(id, address));
        }
    }
}

/// Why a member is let in.
enum Credential {
    /// Its record says so.
    Old,
    /// A public network or a join token: type and value, to be recorded.
    New(&'static str, Value),
}

fn credential(
    record: &Record,
    settings: &network::Settings,
    metadata: &Dictionary,
    now_ms: u64,
) -> Option<Credential> {
    if crate::lenient::boolean(record.get("authorized"), false) {
        return Some(Credential::Old);
    }
    if !settings.private {
        return Some(Credential::New("public", Value::Null));
    }
    let text = metadata.get_text("a")?;
    let token = text.strip_prefix("token:")?;
    let expiry = *settings.tokens.get(token)?;
    (expiry == 0 || expiry > now_ms).then(|| Credential::New("token", token.into()))
}

/// A member that is seen for the first time gets what the network gives to new members.
fn add_default_capabilities(record: &mut Record, settings: &network::Settings) {
    let defaults = settings
        .capabilities
        .iter()
        .filter(|(_, definition)| definition.default)
        .map(|(id, _)| *id);
    let mut capabilities = member::capabilities(record.get("capabilities"));
    capabilities.extend(defaults);
    let capabilities: Value = capabilities.into_iter().collect();
    record.insert("capabilities".into(), capabilities);
}

fn add_addresses(record: &mut Record, assignment: &Assignment) {
    if let Some(Value::Array(ips)) = record.get_mut("ipAssignments") {
        ips.extend(assignment.taken.iter().map(|ip| ip.to_string().into()));
    } else if !assignment.taken.is_empty() {
        let ips = assignment
            .taken
            .iter()
            .map(|ip| Value::from(ip.to_string()));
        record.insert("ipAssignments".into(), ips.collect());
    }
}

fn is_full(network: &Network, authorised: bool) -> bool {
    let members = network.members().len();
    members >= MAX_MEMBERS || !authorised && members - network.authorised() >= MAX_UNAUTHORISED
}

fn online(network: &Network, now_ms: u64) -> impl Iterator<Item = (Address, Presence)> {
    network
        .members()
        .iter()
        .filter_map(move |(address, member)| {
            let presence = member.presence.filter(|p| p.is_online(now_ms))?;
            Some((*address, presence))
        })
}

/// Members that are online and were authorised when they were last seen.
fn receivers(network: &Network, now_ms: u64) -> Vec<Address> {
    online(network, now_ms)
        .filter(|(_, presence)| presence.authorised)
        .map(|(address, _)| address)
        .collect()
}

fn count_revision(record: &mut Record) {
    let revision = crate::lenient::unsigned(record.get("revision"), 0);
    record.insert("revision".into(), revision.saturating_add(1).into());
}
