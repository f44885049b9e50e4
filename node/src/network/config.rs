//! Asking for a configuration, putting it together, applying it (protocol specification 12).

use std::sync::Arc;

use controller_client::{AssemblyError, Progress, config_request, platform};
use protocol::controller::Request;
use protocol::dictionary::Dictionary;
use protocol::network_config::{ConfigChunk, NetworkConfig, RequestMetadata};
use protocol::verb::Verb;
use protocol::{Address, DecodeError, Instant, PacketId};

use super::limits::{CONFIG_REFRESH, REQUEST_SPACING};
use super::{Configured, Context, Network, Networks, Refusal};
use crate::io::{Output, StateObject};
use crate::rules::NetworkPolicy;
use crate::transport::{Handled, Received, Transport};

/// In low-bandwidth mode a configuration is refreshed this many times less often.
const LOW_BANDWIDTH_FACTOR: u32 = 64;

/// Where a configuration comes from.
pub(super) enum Origin<'a> {
    /// The last one of an earlier run.
    Disk,
    /// The controller, as this dictionary.
    Controller(&'a [u8]),
    /// Made here: the network has no controller.
    AdHoc,
}

impl Configured {
    /// There are own credentials that members may want to see.
    pub(super) fn has_credentials(&self) -> bool {
        let config = &self.config;
        config.membership.is_some()
            || !config.capabilities.is_empty()
            || !config.tags.is_empty()
            || !config.ownership.is_empty()
    }
}

impl Network {
    /// Asks the controller if there is no configuration or it is due for a refresh; true if one was applied on the
    /// spot.
    pub(super) fn request_if_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.id.is_ad_hoc() {
            return self.configure_ad_hoc(cx);
        }
        let refresh = match cx.transport.low_bandwidth() {
            true => CONFIG_REFRESH * LOW_BANDWIDTH_FACTOR,
            false => CONFIG_REFRESH,
        };
        let applied = self.config.as_ref().and_then(|c| c.applied);
        let younger =
            |at: Option<Instant>, age| at.is_some_and(|at| cx.now.duration_since(at) < age);
        if younger(applied, refresh) || younger(self.last_request, REQUEST_SPACING) {
            return false;
        }
        self.last_request = Some(cx.now);
        self.request(cx);
        false
    }

    fn request(&mut self, cx: &mut Context<'_>) {
        let metadata = RequestMetadata {
            platform: platform(),
            auth: None,
        };
        let held = self.config.as_ref().map(|c| &c.config);
        let request = config_request(self.id, &metadata, held);
        let controller = self.id.controller();
        if controller != self.me {
            let mut payload = Vec::new();
            request.encode(&mut payload);
            let verb = Verb::NetworkConfigRequest;
            cx.transport.send(cx.now, controller, verb, &payload, true);
        } else if cx.transport.has_controller() {
            let packet = PacketId(cx.transport.random_u64());
            let member = cx.transport.identity().public().clone();
            cx.transport.output(Output::ControllerRequest(Request {
                network: self.id,
                member,
                packet,
                metadata: request.metadata,
                have_revision: request.have_revision,
                have_timestamp: request.have_timestamp,
                from: None,
            }));
        } else {
            self.refuse(cx, Refusal::NotFound);
        }
    }

    fn configure_ad_hoc(&mut self, cx: &mut Context<'_>) -> bool {
        if self.config.is_some() {
            return false;
        }
        let wall = cx.transport.wall(cx.now);
        match NetworkConfig::ad_hoc(self.id, self.me, wall) {
            Some(config) => self.apply(cx, config, Origin::AdHoc),
            None => {
                self.refuse(cx, Refusal::NotFound);
                return false;
            }
        }
        true
    }

    /// The controller gives no configuration. The one held stays in force (7.3).
    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.report_status(cx);
    }

    /// Takes a chunk; the update's id if it completed a configuration that was applied.
    fn chunk(&mut self, cx: &mut Context<'_>, source: Address, chunk: &ConfigChunk) -> Option<u64> {
        let controller = self.id.controller();
        if !cx.shared.gates.may_verify(source, cx.now) {
            return None;
        }
        let Some(identity) = cx.transport.identity_of(controller) else {
            cx.transport.whois(cx.now, controller);
            return None;
        };
        let progress = match self.assembly.insert(chunk, identity, source == controller) {
            Ok(Progress::Duplicate) => return None,
            Ok(progress) => progress,
            Err(error) => {
                if error == AssemblyError::BadSignature {
                    cx.shared.gates.note_forgery(source, cx.now);
                }
                tracing::debug!(network = %self.id, %source, %error, "configuration chunk refused");
                return None;
            }
        };
        if chunk.signed.as_ref().is_some_and(|s| s.propagate()) {
            self.propagate_chunk(cx, source, chunk);
        }
        match progress {
            Progress::Complete {
                dictionary,
                update_id,
            } => self.apply_dictionary(cx, &dictionary).then_some(update_id),
            Progress::Partial | Progress::Duplicate => None,
        }
    }

    /// Passes a chunk on to all members (12.4).
    fn propagate_chunk(&mut self, cx: &mut Context<'_>, source: Address, chunk: &ConfigChunk) {
        let mut payload = Vec::new();
        chunk.encode(&mut payload);
        let except = [source, self.id.controller(), self.me];
        for member in self.members.keys().filter(|m| !except.contains(m)) {
            let verb = Verb::NetworkConfig;
            cx.transport.send(cx.now, *member, verb, &payload, true);
        }
    }

    /// Applies an encoded dictionary if it is a configuration of this network for us.
    pub(super) fn apply_dictionary(&mut self, cx: &mut Context<'_>, dictionary: &[u8]) -> bool {
        match NetworkConfig::from_dictionary(&Dictionary::decode(dictionary)) {
            Ok(config) if config.network == self.id && config.issued_to == self.me => {
                self.apply(cx, config, Origin::Controller(dictionary));
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(network = %self.id, %error, "unreadable configuration");
                false
            }
        }
    }

    /// Puts a configuration in force.
    pub(super) fn apply(
        &mut self,
        cx: &mut Context<'_>,
        config: NetworkConfig,
        origin: Origin<'_>,
    ) {
        let first = self.config.is_none();
        let groups_before = self.groups();
        let mut policy = Arc::new(NetworkPolicy::new(self.me, &config));
        let configured = Configured {
            config,
            policy: Arc::clone(&policy),
            applied: match origin {
                Origin::Disk => None,
                Origin::Controller(_) | Origin::AdHoc => Some(cx.now),
            },
        };
        let mut same = false;
        if let Some(old) = &self.config
            && *old.policy == *policy
        {
            policy = Arc::clone(&old.policy);
            same = old.config.mtu == configured.config.mtu
                && old.has_credentials() == configured.has_credentials();
        }
        self.config = Some(Configured {
            policy,
            ..configured
        });
        self.refusal = None;
        if let Origin::Controller(dictionary) = origin {
            cx.transport.output(Output::Persist {
                object: StateObject::Network(self.id),
                content: Some(dictionary.to_vec()),
            });
        }
        if !same {
            self.changed(cx);
        }
        let members: Vec<_> = self.members.keys().copied().collect();
        for member in members {
            self.judge(cx, member);
        }
        self.report_port(cx);
        self.report_status(cx);
        match first {
            true => self.announce_if_due(cx),
            false => self.announce_news(cx, &groups_before),
        }
        // Members in conversation get the new credentials before their next frame asks for them.
        self.tend_members(cx);
    }
}

impl Networks {
    /// A chunk from `source`, in answer to a request or pushed; its network and update id if it completed a configuration.
    pub(super) fn handle_config_chunk(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        source: Address,
        bytes: &[u8],
    ) -> Option<(protocol::NetworkId, u64)> {
        let chunk = ConfigChunk::decode(bytes).ok()?;
        let applied = self.with(transport, now, chunk.network, |network, cx| {
            network.chunk(cx, source, &chunk)
        })?;
        if applied.is_some() {
            self.report_facts(transport);
        }
        Some((chunk.network, applied?))
    }

    /// NETWORK_CONFIG (7.13).
    pub(super) fn handle_config_push(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Result<Handled, DecodeError> {
        let applied = self.handle_config_chunk(transport, now, packet.source, packet.payload);
        if let Some((network, update_id)) = applied {
            let mut body = network.0.to_be_bytes().to_vec();
            body.extend_from_slice(&update_id.to_be_bytes());
            // The reference acknowledges with the verb number of ECHO.
            transport.reply_ok_as(now, packet, Verb::Echo as u8, &body);
        }
        Ok(Handled::Done)
    }
}

/// The address at which a person can sign in, from the metadata of AUTHENTICATION_REQUIRED (12.7).
pub(super) fn authentication_url(metadata: Option<&[u8]>) -> Option<String> {
    let dictionary = Dictionary::decode(metadata?);
    let key = match dictionary.get_u64("aV").unwrap_or(0) {
        0 => "aU",
        _ => "aCU",
    };
    dictionary.get_text(key).filter(|url| !url.is_empty())
}
