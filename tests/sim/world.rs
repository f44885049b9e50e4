//! A simulated network of members: a root, a node with the real controller, members, and one outsider.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use controller::Controller;
use controller::store::memory::MemoryStore;
use node::Input;
use node::frame::EthernetFrame;
use node::io::{Command, Config};
use node::status::{NetworkStatus, NetworkStatusCode};
use node::testing::{Conditions, Net};
use protocol::world::{World, WorldKind};
use protocol::{MacAddress, MulticastGroup, NetworkId, SecretIdentity};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// Index of the root.
pub(crate) const ROOT: usize = 0;
/// Index of the node with the controller.
pub(crate) const CONTROLLER: usize = 1;

/// How often the world outside the nodes acts: the controller answers, applications retry.
const STEP: Duration = Duration::from_millis(100);

/// The simulated world.
pub(crate) struct Members {
    pub(crate) net: Net,
    pub(crate) network: NetworkId,
    controller: Controller,
    addresses: BTreeMap<usize, Ipv4Addr>,
}

/// Each node sits behind a prefix of its own, as on the Internet: roots validate one new identity per prefix and two
/// seconds (protocol specification 7.2).
pub(crate) fn underlay(index: usize) -> SocketAddr {
    let [.., high, low] = (index as u32).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, high, low, 1)), 9993)
}

impl Members {
    /// A root, a controller, `members` members that are authorised, and one that is not. All want to join.
    pub(crate) fn new(seed: u64, members: usize, conditions: Conditions) -> Self {
        Self::at(seed, members, conditions, |index| vec![underlay(index)])
    }

    /// The same; each node has the `endpoints` of its index.
    pub(crate) fn at(
        seed: u64,
        members: usize,
        conditions: Conditions,
        endpoints: impl Fn(usize) -> Vec<SocketAddr>,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let root = SecretIdentity::generate(&mut random);
        let planet = World::of_root(WorldKind::Planet, 1, 1, &root, endpoints(ROOT));
        let mut net = Net::new(seed, conditions);
        net.add(root, &planet, &endpoints(ROOT));
        let holder = SecretIdentity::generate(&mut random);
        net.add(holder.clone(), &planet, &endpoints(CONTROLLER));
        let config = Config {
            has_controller: true,
            ..Config::default()
        };
        net.command(CONTROLLER, Command::Configure(Box::new(config)));
        let mut controller = Controller::open(Box::new(MemoryStore::new()), holder, [7; 32])
            .expect("a controller on an empty store");
        let network = create_network(&mut controller, &net);
        for index in 2..2 + members + 1 {
            let identity = SecretIdentity::generate(&mut random);
            let address = identity.address().to_string();
            net.add(identity, &planet, &endpoints(index));
            net.command(
                index,
                Command::Join {
                    network,
                    cached: None,
                },
            );
            if index < 2 + members {
                let path = [
                    "controller",
                    "network",
                    &network.to_string(),
                    "member",
                    &address,
                ];
                post(
                    &mut controller,
                    &path,
                    &json!({"authorized": true}),
                    net.wall(),
                );
            }
        }
        Self {
            net,
            network,
            controller,
            addresses: BTreeMap::new(),
        }
    }

    /// Indexes of the authorised members.
    pub(crate) fn members(&self) -> std::ops::Range<usize> {
        2..self.outsider()
    }

    /// Index of the node that joined without being authorised.
    pub(crate) fn outsider(&self) -> usize {
        self.net.nodes.len() - 1
    }

    /// Lets time pass; the controller answers meanwhile, and devices take the addresses that they are given.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.net.now() + duration;
        while self.net.now() < end {
            self.net.run_for(STEP);
            self.attend();
        }
    }

    /// What the world outside the nodes does now and then: the controller answers, devices take addresses.
    pub(crate) fn attend(&mut self) {
        self.serve_requests();
        self.apply_addresses();
    }

    /// Runs until `done` holds; false if it does not within `limit`.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let end = self.net.now() + limit;
        while self.net.now() < end {
            self.run_for(Duration::from_secs(1));
            if done(self) {
                return true;
            }
        }
        false
    }

    fn serve_requests(&mut self) {
        let requests = std::mem::take(&mut self.net.nodes[CONTROLLER].controller_requests);
        for request in requests {
            let now = self.net.wall();
            self.controller.handle_request(now, request);
        }
        while let Some(effect) = self.controller.poll() {
            self.net.command(CONTROLLER, Command::Controller(effect));
        }
    }

    /// What the daemon does when a managed address appears: the device has it, so its ARP group is listened to.
    fn apply_addresses(&mut self) {
        for index in self.members() {
            let Some(status) = self.status(index) else {
                continue;
            };
            let Some(prefix) = status.config.and_then(|c| c.assigned_ips.first().copied()) else {
                continue;
            };
            let IpAddr::V4(ip) = prefix.ip else { continue };
            if self.addresses.insert(index, ip) != Some(ip) {
                let groups = vec![MulticastGroup::arp(ip)];
                let network = self.network;
                let state = Command::PortState {
                    network,
                    groups,
                    addresses: vec![prefix],
                };
                self.net.command(index, state);
            }
        }
    }

    /// The network as a member sees it.
    pub(crate) fn status(&self, index: usize) -> Option<NetworkStatus> {
        let now = self.net.now();
        self.net.nodes[index]
            .node
            .networks(now)
            .into_iter()
            .find(|n| n.network == self.network)
    }

    /// The member has status OK and an address.
    pub(crate) fn has_joined(&self, index: usize) -> bool {
        self.addresses.contains_key(&index)
            && self
                .status(index)
                .is_some_and(|s| s.status == NetworkStatusCode::Ok)
    }

    /// A member's Ethernet address on the network.
    pub(crate) fn mac(&self, index: usize) -> MacAddress {
        MacAddress::of(self.net.nodes[index].address(), self.network)
    }

    /// `from` asks by ARP who has `to`'s address (RFC 826).
    pub(crate) fn ask_by_arp(&mut self, from: usize, to: usize) {
        let (Some(own), Some(target)) = (self.addresses.get(&from), self.addresses.get(&to)) else {
            return;
        };
        let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
        payload.extend_from_slice(&self.mac(from).0);
        payload.extend_from_slice(&own.octets());
        payload.extend_from_slice(&[0; 6]);
        payload.extend_from_slice(&target.octets());
        self.send_frame(from, MacAddress::BROADCAST, 0x0806, &payload);
    }

    /// A frame leaves a member's device.
    pub(crate) fn send_frame(
        &mut self,
        from: usize,
        to: MacAddress,
        ethertype: u16,
        payload: &[u8],
    ) {
        let source = self.mac(from);
        let frame = EthernetFrame {
            destination: to,
            source,
            ethertype,
            payload,
        }
        .to_bytes();
        self.net.handle(
            from,
            Input::Frame {
                network: self.network,
                bytes: &frame,
            },
        );
    }

    /// True if a frame with this payload has reached the device of `index`.
    pub(crate) fn has_received(&self, index: usize, ethertype: u16, payload: &[u8]) -> bool {
        self.net.nodes[index].delivered.iter().any(|(_, bytes)| {
            EthernetFrame::parse(bytes)
                .is_some_and(|frame| frame.ethertype == ethertype && frame.payload == payload)
        })
    }

    /// True if the ARP request of [`Members::ask_by_arp`] has reached `to`.
    pub(crate) fn was_asked(&self, from: usize, to: usize) -> bool {
        let source = self.mac(from);
        self.net.nodes[to].delivered.iter().any(|(_, bytes)| {
            EthernetFrame::parse(bytes)
                .is_some_and(|frame| frame.ethertype == 0x0806 && frame.source == source)
        })
    }
}

fn create_network(controller: &mut Controller, net: &Net) -> NetworkId {
    let address = net.nodes[CONTROLLER].address();
    let settings = json!({
        "v4AssignMode": {"zt": true},
        "routes": [{"target": "172.22.0.0/16", "via": null}],
        "ipAssignmentPools": [{"ipRangeStart": "172.22.0.1", "ipRangeEnd": "172.22.255.254"}],
    });
    let path = ["controller", "network", &format!("{address}______")];
    let answer = post(controller, &path, &settings, net.wall());
    answer["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("a network id")
}

fn post(controller: &mut Controller, path: &[&str], body: &Value, wall: u64) -> Value {
    let reply = controller.handle_api("POST", path, body.to_string().as_bytes(), wall);
    assert_eq!(reply.status, 200, "{path:?}");
    serde_json::from_slice(&reply.body).expect("JSON")
}
