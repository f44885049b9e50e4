//! The world: a root, a node whose embedded controller the test plays, and members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use node::frame::EthernetFrame;
use node::io::{Command, Config, Input, PortChange, PortConfig, StateObject};
use node::snapshot::MemberEntry;
use node::status::NetworkStatusCode;
use node::testing::{Conditions, Net};
use protocol::controller::{Effect, Request};
use protocol::credential::CertificateOfMembership;
use protocol::network_config::{FLAG_BROADCAST, NetworkConfig};
use protocol::rule::{Rule, RuleKind};
use protocol::verb::ErrorCode;
use protocol::world::{World, WorldKind};
use protocol::{Address, IpPrefix, MacAddress, MulticastGroup, NetworkId, SecretIdentity, Verb};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const ROOT: usize = 0;
pub(crate) const CONTROLLER: usize = 1;
pub(crate) const A: usize = 2;
pub(crate) const B: usize = 3;
pub(crate) const C: usize = 4;

/// The window of credentials, ms.
pub(crate) const WINDOW: u64 = 1_800_000;

type Customise = Box<dyn Fn(&mut NetworkConfig, &SecretIdentity)>;

pub(crate) struct Lab {
    pub(crate) net: Net,
    pub(crate) network: NetworkId,
    pub(crate) controller: SecretIdentity,
    /// Requests of these are refused.
    pub(crate) denied: BTreeSet<Address>,
    /// A second network of the same controller.
    pub(crate) second: Option<NetworkId>,
    /// The controller says nothing while this is true.
    pub(crate) silent: bool,
    customise: Customise,
    served: usize,
}

/// The same identity for the same seed; searched once, since the search is slow.
pub(crate) fn identity(seed: u64) -> SecretIdentity {
    static KNOWN: Mutex<BTreeMap<u64, SecretIdentity>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    let found = known.entry(seed);
    found
        .or_insert_with(|| SecretIdentity::generate(&mut StdRng::seed_from_u64(seed)))
        .clone()
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The managed address of a node.
pub(crate) fn ip(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, index as u8)
}

impl Lab {
    /// A private network that carries everything, and `members` nodes that have not joined yet.
    pub(crate) fn new(members: usize) -> Self {
        Self::with(members, |_, _| {})
    }

    /// As [`Lab::new`], with every configuration changed by `customise` before it is issued.
    pub(crate) fn with(
        members: usize,
        customise: impl Fn(&mut NetworkConfig, &SecretIdentity) + 'static,
    ) -> Self {
        let root = identity(1);
        let endpoints = vec![at("10.0.0.1:9993")];
        let planet = World::of_root(WorldKind::Planet, 77, 1, &root, endpoints.clone());
        let mut net = Net::new(9, Conditions::default());
        net.add(root, &planet, &endpoints);
        for index in 1..2 + members {
            let address = SocketAddr::from(([10, 0, index as u8, 1], 9993));
            net.add(identity(1 + index as u64), &planet, &[address]);
        }
        let controller = identity(2);
        let network = NetworkId(controller.address().to_u64() << 24 | 0x77);
        let config = Config {
            has_controller: true,
            ..Config::default()
        };
        net.command(CONTROLLER, Command::Configure(Box::new(config)));
        let mut lab = Self {
            net,
            network,
            controller,
            denied: BTreeSet::new(),
            second: None,
            silent: false,
            customise: Box::new(customise),
            served: 0,
        };
        lab.run(3 * SECOND);
        lab
    }

    /// A network in which `members` nodes, from [`A`] on, have their configurations and devices.
    pub(crate) fn joined(
        members: usize,
        customise: impl Fn(&mut NetworkConfig, &SecretIdentity) + 'static,
    ) -> Self {
        let mut lab = Self::with(members, customise);
        for index in A..A + members {
            lab.join(index);
        }
        lab.run(5 * SECOND);
        for index in A..A + members {
            assert_eq!(lab.status(index), NetworkStatusCode::Ok, "node {index}");
            lab.listen(index, &[MulticastGroup::arp(ip(index))]);
        }
        lab.run(2 * SECOND);
        lab
    }

    pub(crate) fn address(&self, index: usize) -> Address {
        self.net.nodes[index].address()
    }

    pub(crate) fn mac(&self, index: usize) -> MacAddress {
        MacAddress::of(self.address(index), self.network)
    }

    pub(crate) fn join(&mut self, index: usize) {
        let network = self.network;
        let cached = None;
        self.net.command(index, Command::Join { network, cached });
    }

    /// The OS of a node says that its device listens to these groups.
    pub(crate) fn listen(&mut self, index: usize, groups: &[MulticastGroup]) {
        let command = Command::PortState {
            network: self.network,
            groups: groups.to_vec(),
            addresses: vec![IpPrefix {
                ip: IpAddr::V4(ip(index)),
                bits: 24,
            }],
        };
        self.net.command(index, command);
    }

    /// Lets time pass and the controller answer.
    pub(crate) fn run(&mut self, duration: Duration) {
        let step = Duration::from_millis(20);
        for _ in 0..duration.as_millis() / step.as_millis() {
            self.net.run_for(step);
            while let Some(request) = self.net.nodes[CONTROLLER]
                .controller_requests
                .get(self.served)
                .cloned()
            {
                self.served += 1;
                self.answer(&request);
            }
        }
    }

    fn answer(&mut self, request: &Request) {
        let to = request.member.address();
        let network = request.network;
        if self.silent {
            return;
        }
        let is_ours = network == self.network || Some(network) == self.second;
        let effect = if self.denied.contains(&to) || !is_ours {
            Effect::Error {
                to,
                network,
                in_reply_to: request.packet,
                code: match is_ours {
                    true => ErrorCode::NetworkAccessDenied,
                    false => ErrorCode::ObjectNotFound,
                },
            }
        } else {
            let config = self.config_of(network, &request.member, self.net.wall());
            Effect::Config {
                to,
                network,
                in_reply_to: Some(request.packet),
                dictionary: config.to_dictionary().encode(),
            }
        };
        self.net.command(CONTROLLER, Command::Controller(effect));
    }

    /// What the controller issues to `member` at `timestamp`.
    pub(crate) fn config(&self, member: &protocol::Identity, timestamp: u64) -> NetworkConfig {
        self.config_of(self.network, member, timestamp)
    }

    fn config_of(
        &self,
        network: NetworkId,
        member: &protocol::Identity,
        timestamp: u64,
    ) -> NetworkConfig {
        let mut config = NetworkConfig::new(network, member.address());
        config.timestamp = timestamp;
        config.credential_time_max_delta = WINDOW;
        config.revision = 3;
        config.flags = FLAG_BROADCAST;
        config.multicast_limit = 32;
        config.name = "lab".into();
        config.rules = vec![Rule::new(RuleKind::Accept)];
        let nodes = self.net.nodes.iter();
        let index = nodes
            .map(|n| n.address())
            .position(|a| a == member.address());
        config.assigned_ips = vec![IpPrefix {
            ip: IpAddr::V4(ip(index.unwrap())),
            bits: 24,
        }];
        config.membership = Some(CertificateOfMembership::issue(
            &self.controller,
            network,
            member,
            timestamp,
            WINDOW,
        ));
        (self.customise)(&mut config, &self.controller);
        config
    }

    pub(crate) fn status(&self, index: usize) -> NetworkStatusCode {
        let networks = self.net.nodes[index].node.networks(self.net.now());
        let network = networks.iter().find(|n| n.network == self.network);
        network.unwrap().status
    }

    /// A frame from the device of a node.
    pub(crate) fn send(&mut self, from: usize, frame: &EthernetFrame<'_>) {
        let network = self.network;
        let bytes = &frame.to_bytes();
        self.net.handle(from, Input::Frame { network, bytes });
    }

    /// A frame from a node to another, with its own MAC addresses.
    pub(crate) fn send_to(&mut self, from: usize, to: usize, payload: &[u8]) {
        let frame = EthernetFrame {
            destination: self.mac(to),
            source: self.mac(from),
            ethertype: 0x88b5,
            payload,
        };
        self.send(from, &frame);
    }

    /// A frame from a node to everyone in a group.
    pub(crate) fn send_multicast(&mut self, from: usize, group: MacAddress, payload: &[u8]) {
        let frame = EthernetFrame {
            destination: group,
            source: self.mac(from),
            ethertype: 0x88b5,
            payload,
        };
        self.send(from, &frame);
    }

    /// Frames with this payload that came out of a node's device.
    pub(crate) fn received(&self, index: usize, payload: &[u8]) -> usize {
        let frames = self.net.nodes[index].delivered.iter();
        frames
            .filter(|(network, frame)| *network == self.network && frame.ends_with(payload))
            .count()
    }

    /// The last frame that came out of a node's device.
    pub(crate) fn last_frame(&self, index: usize) -> EthernetFrame<'_> {
        let (_, bytes) = self.net.nodes[index].delivered.last().unwrap();
        EthernetFrame::parse(bytes).unwrap()
    }

    /// ERROR packets of this code that a node got.
    pub(crate) fn errors(&self, index: usize, code: ErrorCode) -> u64 {
        self.net.nodes[index].node.status().counters.errors_received[code as usize]
    }

    pub(crate) fn packets(&self, index: usize, verb: Verb) -> u64 {
        self.net.nodes[index].received(verb)
    }

    /// What workers of `of` see of `member`.
    pub(crate) fn entry(&self, of: usize, member: usize) -> Option<&MemberEntry> {
        let snapshot = self.net.nodes[of].snapshot.as_ref().unwrap();
        let members = &snapshot.network(self.network)?.members;
        members.get(&self.address(member)).map(|entry| &**entry)
    }

    /// What a node last wished for its device.
    pub(crate) fn port(&self, index: usize) -> Option<&PortConfig> {
        match self.net.nodes[index].ports.last()? {
            PortChange::Up(port) => Some(port),
            PortChange::Down(_) => None,
        }
    }

    pub(crate) fn file(&self, index: usize) -> Option<&[u8]> {
        let files = &self.net.nodes[index].files;
        files.get(&StateObject::Network(self.network))?.as_deref()
    }
}
