//! VL2: joined networks, their configuration, membership, multicast and frames (protocol specification 10 to 14).
//!
//! `Networks` owns everything; one `Network` is one joined network. Handlers get a `Context`: the transport below,
//! the tables that networks share, and the time.

mod announce;
mod bridge;
mod config;
mod controller;
mod credentials;
mod gather;
mod groups;
mod inbound;
mod limits;
mod member;
mod membership;
mod multicast;
mod ndp;
mod outbound;
mod port;
mod view;

#[cfg(test)]
mod golden;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controller_client::Assembly;
use protocol::network_config::NetworkConfig;
use protocol::verb::{ErrorBody, ErrorCode, InReply, Verb};
use protocol::{Address, Instant, IpPrefix, MacAddress, MulticastGroup, NetworkId};

use crate::frame::EthernetFrame;
use crate::io::{Command, PortConfig};
use crate::rules::NetworkPolicy;
use crate::snapshot::NetworkEntry;
use crate::status::{FrameCounts, NetworkStatus, NetworkStatusCode};
use crate::transport::{Handled, Received, Transport};

use bridge::BridgeRoutes;
use credentials::Gates;
use groups::Groups;
use limits::{AUTHORISATION_LIFETIME, HOUSEKEEPING, STAMP_PERIOD};
use member::Member;

/// All joined networks.
pub(crate) struct Networks {
    joined: BTreeMap<NetworkId, Network>,
    shared: Shared,
    next_housekeeping: Instant,
}

/// Tables that belong to no single network.
struct Shared {
    groups: Groups,
    gates: Gates,
    /// Whom our controller vouched for, and when.
    authorised: BTreeMap<(NetworkId, Address), Instant>,
}

/// What a handler needs beside its network.
struct Context<'a> {
    transport: &'a mut Transport,
    shared: &'a mut Shared,
    now: Instant,
}

/// One joined network.
struct Network {
    id: NetworkId,
    me: Address,
    mac: MacAddress,
    config: Option<Configured>,
    assembly: Assembly,
    /// The controller's last refusal, until it sends a configuration.
    refusal: Option<Refusal>,
    last_request: Option<Instant>,
    port_failed: bool,
    reported_status: NetworkStatusCode,
    frames: FrameCounts,
    reported_port: Option<PortConfig>,
    port_groups: BTreeSet<MulticastGroup>,
    port_addresses: Vec<IpPrefix>,
    /// Groups of hosts behind us, and when they last used them.
    bridged_groups: BTreeMap<MulticastGroup, Instant>,
    members: BTreeMap<Address, Member>,
    routes: BridgeRoutes,
    last_announcement: Option<Instant>,
    /// What the last snapshot showed; none if it must be built anew.
    entry: Option<Arc<NetworkEntry>>,
}

/// A configuration in force.
struct Configured {
    config: NetworkConfig,
    policy: Arc<NetworkPolicy>,
    /// When it came from the controller; none for one from disk, which is refreshed at once.
    applied: Option<Instant>,
}

/// Why the controller gave no configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Refusal {
    NotFound,
    AccessDenied,
    AuthenticationRequired { url: Option<String> },
}

impl Networks {
    pub(crate) fn new() -> Self {
        Self {
            joined: BTreeMap::new(),
            shared: Shared {
                groups: Groups::default(),
                gates: Gates::default(),
                authorised: BTreeMap::new(),
            },
            next_housekeeping: Instant::ZERO,
        }
    }

    /// Runs `action` on a joined network; none if it is not joined.
    fn with<R>(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        network: NetworkId,
        action: impl FnOnce(&mut Network, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let found = self.joined.get_mut(&network)?;
        let mut context = Context {
            transport,
            shared: &mut self.shared,
            now,
        };
        Some(action(found, &mut context))
    }

    /// Runs `action` on every joined network.
    fn for_each(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        mut action: impl FnMut(&mut Network, &mut Context<'_>),
    ) {
        for network in self.joined.values_mut() {
            let mut context = Context {
                transport,
                shared: &mut self.shared,
                now,
            };
            action(network, &mut context);
        }
    }

    /// FRAME, EXT_FRAME, MULTICAST_LIKE, NETWORK_CREDENTIALS, NETWORK_CONFIG_REQUEST, NETWORK_CONFIG, MULTICAST_GATHER,
    /// MULTICAST_FRAME.
    pub(crate) fn handle_packet(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Handled {
        let handled = match packet.verb {
            Verb::Frame => self.handle_frame_packet(transport, now, packet),
            Verb::ExtFrame => self.handle_ext_frame(transport, now, packet),
            Verb::MulticastFrame => self.handle_multicast_frame(transport, now, packet),
            Verb::MulticastLike => Ok(self.handle_likes(transport, now, packet)),
            Verb::MulticastGather => self.handle_gather(transport, now, packet),
            Verb::NetworkCredentials => self.handle_credentials(transport, now, packet),
            Verb::NetworkConfigRequest => self.handle_config_request(transport, now, packet),
            Verb::NetworkConfig => self.handle_config_push(transport, now, packet),
            _ => Ok(Handled::Done),
        };
        // A packet that cannot be read has no effect at all, path learning included (4.1).
        handled.unwrap_or(Handled::RateLimited)
    }

    /// An expected OK for one of the verbs above; `body` follows the in-re header.
    pub(crate) fn handle_ok(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
        in_reply: InReply,
        body: &[u8],
    ) {
        match Verb::from_byte(in_reply.verb) {
            Some(Verb::NetworkConfigRequest) => {
                self.handle_config_chunk(transport, now, packet.source, body);
            }
            Some(Verb::MulticastGather) => self.handle_ok_gather(transport, now, body),
            Some(Verb::MulticastFrame) => {
                self.handle_ok_multicast_frame(transport, now, packet.source, body);
            }
            _ => {}
        }
    }

    /// An ERROR that concerns a network (7.3).
    pub(crate) fn handle_error(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
        in_reply: InReply,
        error: &ErrorBody,
    ) {
        let (Some(network), Some(code)) = (error.network, ErrorCode::from_byte(error.code)) else {
            return;
        };
        let from_controller = packet.source == network.controller();
        let re_request = Verb::from_byte(in_reply.verb) == Some(Verb::NetworkConfigRequest);
        self.with(transport, now, network, |network, cx| match code {
            ErrorCode::ObjectNotFound | ErrorCode::UnsupportedOperation => {
                if from_controller && re_request {
                    network.refuse(cx, Refusal::NotFound);
                }
            }
            ErrorCode::NetworkAccessDenied => {
                if from_controller {
                    network.refuse(cx, Refusal::AccessDenied);
                }
            }
            ErrorCode::NetworkAuthenticationRequired => {
                if from_controller {
                    let url = config::authentication_url(error.metadata.as_deref());
                    network.refuse(cx, Refusal::AuthenticationRequired { url });
                }
            }
            ErrorCode::NeedMembershipCertificate => {
                network.credentials_wanted_by(cx, packet.source);
            }
            ErrorCode::UnwantedMulticast => {
                if let Some(group) = error.group
                    && network.gate(cx, packet.source)
                {
                    let groups = &mut cx.shared.groups;
                    groups.remove(network.id, group, packet.source);
                }
            }
            ErrorCode::InvalidRequest
            | ErrorCode::BadProtocolVersion
            | ErrorCode::IdentityCollision => {}
        });
    }

    /// A frame from the TAP device.
    pub(crate) fn handle_frame(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        network: NetworkId,
        frame: &EthernetFrame<'_>,
    ) {
        self.with(transport, now, network, |network, cx| {
            network.frame_from_port(cx, frame);
        });
    }

    /// The commands that concern networks: Join, Leave, PortFailed, PortState, Controller. Others are ignored.
    pub(crate) fn handle_command(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        command: Command,
    ) {
        match command {
            Command::Join { network, cached } => self.join(transport, now, network, cached),
            Command::Leave(network) => self.leave(transport, network),
            Command::PortFailed { network, failed } => {
                self.with(transport, now, network, |network, cx| {
                    network.port_failed = failed;
                    network.report_status(cx);
                });
            }
            Command::PortState {
                network,
                groups,
                addresses,
            } => {
                let changed = self.with(transport, now, network, |network, cx| {
                    network.set_port_state(cx, groups, addresses)
                });
                if changed == Some(true) {
                    self.report_facts(transport);
                }
            }
            Command::Controller(effect) => self.handle_effect(transport, now, effect),
            _ => {}
        }
    }

    /// Timers; called at every node tick. Does whatever is due and returns when it next wants to be called.
    pub(crate) fn tick(&mut self, transport: &mut Transport, now: Instant) -> Instant {
        let housekeeping = now >= self.next_housekeeping;
        if housekeeping {
            self.next_housekeeping = now + HOUSEKEEPING;
            self.shared.groups.expire(now);
            self.shared.gates.expire(now);
            self.shared
                .authorised
                .retain(|_, at| now.duration_since(*at) < AUTHORISATION_LIFETIME);
        }
        let mut next = self.next_housekeeping;
        self.for_each(transport, now, |network, cx| {
            if housekeeping {
                network.expire(cx);
            }
            next = next.min(network.tend_members(cx));
        });
        match self.joined.is_empty() {
            true => next,
            false => next.min(now + STAMP_PERIOD),
        }
    }

    /// Called once per ping check (5 s; 25 s in low-bandwidth mode), after the peers were pinged: configuration requests,
    /// multicast announcements (12.3, 11.2).
    pub(crate) fn ping_check(&mut self, transport: &mut Transport, now: Instant) {
        let mut configured = false;
        self.for_each(transport, now, |network, cx| {
            configured |= network.request_if_due(cx);
            if !cx.transport.low_bandwidth() {
                network.announce_if_due(cx);
            }
        });
        if configured {
            self.report_facts(transport);
        }
    }

    /// The identity of `address` has become known: a certificate that waited for it may be judged now.
    pub(crate) fn identity_learned(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        address: Address,
    ) {
        self.for_each(transport, now, |network, cx| {
            if network.members.contains_key(&address) {
                network.judge(cx, address);
            }
        });
    }

    /// The networks' part of a snapshot. Unchanged networks return the same `Arc` as last time.
    pub(crate) fn snapshot(
        &mut self,
        _transport: &Transport,
        now: Instant,
    ) -> BTreeMap<NetworkId, Arc<NetworkEntry>> {
        let networks = self.joined.iter_mut();
        networks
            .filter_map(|(id, network)| Some((*id, network.entry(now)?)))
            .collect()
    }

    /// For the API.
    pub(crate) fn status(&self, _now: Instant) -> Vec<NetworkStatus> {
        self.joined.values().map(Network::status).collect()
    }
}
