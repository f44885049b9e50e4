//! Joining, leaving, and the declared state of a network's device.

use std::collections::{BTreeMap, BTreeSet};

use controller_client::Assembly;
use protocol::network_config::{DEFAULT_MTU, NetworkConfig};
use protocol::network_config::{SPECIALIST_ANCHOR, SPECIALIST_MULTICAST_REPLICATOR};
use protocol::{Address, Instant, IpPrefix, MacAddress, MulticastGroup, NetworkId};

use super::bridge::BridgeRoutes;
use super::config::Origin;
use super::{Context, Network, Networks};
use crate::io::{Output, PortChange, PortConfig, StateObject};
use crate::status::{FrameCounts, NetworkStatusCode};
use crate::transport::{NetworkFacts, Transport};

/// The content of a network's file while there is no configuration (protocol specification 20.2).
const JOINED_WITHOUT_CONFIG: &[u8] = b"\n";

impl Networks {
    /// Joins a network; nothing happens if it is joined already.
    pub(super) fn join(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        network: NetworkId,
        cached: Option<Box<NetworkConfig>>,
    ) {
        if self.joined.contains_key(&network) {
            return;
        }
        let me = transport.identity().address();
        self.joined.insert(network, Network::new(network, me));
        let cached = cached.filter(|c| c.network == network && c.issued_to == me);
        if cached.is_none() {
            transport.output(Output::Persist {
                object: StateObject::Network(network),
                content: Some(JOINED_WITHOUT_CONFIG.to_vec()),
            });
        }
        self.with(transport, now, network, |network, cx| {
            if let Some(cached) = cached {
                network.apply(cx, *cached, Origin::Disk);
            }
            network.report_port(cx);
            network.request_if_due(cx);
        });
        self.report_facts(transport);
    }

    /// Leaves a network and forgets everything about it.
    pub(super) fn leave(&mut self, transport: &mut Transport, network: NetworkId) {
        if self.joined.remove(&network).is_none() {
            return;
        }
        transport.output(Output::Port(PortChange::Down(network)));
        transport.output(Output::Persist {
            object: StateObject::Network(network),
            content: None,
        });
        transport.mark_snapshot_dirty();
        self.report_facts(transport);
    }

    /// Tells VL1 what it must know of the networks (5.3, 8.6).
    pub(super) fn report_facts(&self, transport: &mut Transport) {
        let mut facts = NetworkFacts::default();
        for network in self.joined.values() {
            // Whole subnets, also of IPv6: a tunnel through the tunnel would leave by itself.
            facts.excluded.extend(
                network
                    .port_addresses
                    .iter()
                    .map(|address| address.network()),
            );
            if let Some(configured) = &network.config {
                let config = &configured.config;
                facts.excluded.extend(&config.assigned_ips);
                let flags = SPECIALIST_ANCHOR | SPECIALIST_MULTICAST_REPLICATOR;
                facts.always_contact.extend(config.specialists_with(flags));
            }
        }
        facts.excluded.sort_unstable();
        facts.excluded.dedup();
        facts.always_contact.sort_unstable();
        facts.always_contact.dedup();
        transport.set_network_facts(facts);
    }
}

impl Network {
    fn new(id: NetworkId, me: Address) -> Self {
        Self {
            id,
            me,
            mac: MacAddress::of(me, id),
            config: None,
            assembly: Assembly::new(id),
            refusal: None,
            last_request: None,
            port_failed: false,
            reported_status: NetworkStatusCode::RequestingConfiguration,
            frames: FrameCounts::default(),
            reported_port: None,
            port_groups: BTreeSet::new(),
            port_addresses: Vec::new(),
            bridged_groups: BTreeMap::new(),
            members: BTreeMap::new(),
            routes: BridgeRoutes::default(),
            last_announcement: None,
            entry: None,
        }
    }

    /// Declares what the device shall look like, if that has changed.
    pub(super) fn report_port(&mut self, cx: &mut Context<'_>) {
        let mut port = PortConfig {
            network: self.id,
            mac: self.mac,
            mtu: DEFAULT_MTU,
            addresses: Vec::new(),
            routes: Vec::new(),
            dns_servers: Vec::new(),
            dns_domain: String::new(),
        };
        if let Some(configured) = &self.config {
            let config = &configured.config;
            port.mtu = config.mtu;
            port.addresses.clone_from(&config.assigned_ips);
            port.routes.clone_from(&config.routes);
            if let Some(dns) = &config.dns {
                port.dns_servers = dns.servers.iter().map(|server| server.ip()).collect();
                port.dns_domain.clone_from(&dns.domain);
            }
        }
        if self.reported_port.as_ref() != Some(&port) {
            self.reported_port = Some(port.clone());
            cx.transport
                .output(Output::Port(PortChange::Up(Box::new(port))));
        }
    }

    /// Takes what the OS says of the device; true if its addresses changed.
    pub(super) fn set_port_state(
        &mut self,
        cx: &mut Context<'_>,
        groups: Vec<MulticastGroup>,
        addresses: Vec<IpPrefix>,
    ) -> bool {
        let before = self.groups();
        self.port_groups = groups.into_iter().collect();
        self.announce_news(cx, &before);
        let changed = self.port_addresses != addresses;
        self.port_addresses = addresses;
        changed
    }
}
