//! Requests of members: who is let in, and with what (service specification F.7).

use protocol::controller::{Effect, Request};
use protocol::dictionary::Dictionary;
use protocol::verb::ErrorCode;
use protocol::{Identity, NetworkId};
use serde_json::Value;

use super::Controller;
use crate::assign::{self, Assignment};
use crate::issue;
use crate::member::{self, KnownIdentity, Presence};
use crate::network::{self, Network};
use crate::store::Record;

/// Shortest time between two requests of a member that are answered, ms.
const REQUEST_INTERVAL: u64 = 1000;
/// Most requests whose times are remembered: more distinct ones within [`REQUEST_INTERVAL`] are dropped.
const MAX_RECENT_REQUESTS: usize = 65_536;
/// Shortest time between two searches for request times that may be forgotten, ms.
const SWEEP_INTERVAL: u64 = 100;
/// Most unauthorised members of a network that requests create. Clients of the HTTP interface may create more.
const MAX_UNAUTHORISED: usize = 16_384;
/// Most members of a network that requests create.
const MAX_MEMBERS: usize = 262_144;

impl Controller {
    /// At most one request per member and interval.
    pub(super) fn admit(&mut self, request: &Request) -> bool {
        let now = self.now_ms;
        let recent = |at: u64| now.saturating_sub(at) < REQUEST_INTERVAL;
        let full = self.recent_requests.len() >= MAX_RECENT_REQUESTS;
        if full && now.saturating_sub(self.recent_requests_swept) >= SWEEP_INTERVAL {
            self.recent_requests_swept = now;
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

    pub(super) fn answer(&mut self, request: &Request) -> Result<(), ErrorCode> {
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
    pub(super) fn configure(
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
