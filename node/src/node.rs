//! [`Node`]: `handle` in, `poll` out.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::packet::{PacketView, VERB_OFFSET};
use protocol::verb::{ErrorBody, InReply, Verb};
use protocol::world::World;
use protocol::{Instant, NetworkId, SecretIdentity, WallClock};

use crate::frame::EthernetFrame;
use crate::io::{Command, Input, Output};
use crate::limits::MAX_EARLY_CONTACTS;
use crate::network::Networks;
use crate::queue::Incoming;
use crate::snapshot::{NetworkEntry, Snapshot};
use crate::status::{NetworkStatus, NodeStatus, PeerStatus};
use crate::timers;
use crate::transport::{Handled, Received, Transport};

/// A node's whole control state.
pub struct Node {
    pub(crate) transport: Transport,
    networks: Networks,
    /// The time of the last input.
    now: Instant,
    deadlines: Deadlines,
    epoch: u64,
    /// The networks as last published.
    shown_networks: BTreeMap<NetworkId, Arc<NetworkEntry>>,
    shown_upstream: bool,
    /// How often upstreams without a path may still be contacted before their ping check.
    early_contacts: u32,
}

/// When the timers run next.
struct Deadlines {
    ping_check: Instant,
    housekeeping: Instant,
    activity: Instant,
    /// Retry of waiting packets; counts only while something waits.
    retry: Option<Instant>,
    /// Another attempt at upstreams without a path.
    early_contact: Option<Instant>,
    networks: Instant,
    last_publish: Option<Instant>,
}

impl Node {
    /// A node with no links and no networks. `planet` is what the home directory held, or the default. `seed` feeds all
    /// randomness.
    pub fn new(
        identity: SecretIdentity,
        planet: World,
        seed: [u8; 32],
        now: Instant,
        wall: WallClock,
    ) -> Self {
        Self {
            transport: Transport::new(identity, planet, seed, now, wall),
            networks: Networks::new(),
            now,
            deadlines: Deadlines {
                ping_check: now,
                housekeeping: now + timers::HOUSEKEEPING,
                activity: now + timers::ACTIVITY_CHECK,
                retry: None,
                early_contact: None,
                networks: now,
                last_publish: None,
            },
            epoch: 0,
            shown_networks: BTreeMap::new(),
            shown_upstream: false,
            early_contacts: MAX_EARLY_CONTACTS,
        }
    }

    /// Takes an input that happened at `now`. Time never goes backwards: an earlier `now` counts as the last one.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let now = now.max(self.now);
        self.now = now;
        let was_online = self.transport.is_online();
        match input {
            Input::Datagram { path, bytes } => {
                if let Some(incoming) = self.transport.receive_datagram(now, path, bytes) {
                    self.process(now, incoming);
                }
            }
            Input::Assembled { path, packet } => {
                if let Some(incoming) = self.transport.receive_assembled(now, path, packet) {
                    self.process(now, incoming);
                }
            }
            Input::Opened { path, packet } => {
                if let Some(incoming) = self.transport.receive_opened(now, path, packet) {
                    self.process(now, incoming);
                }
            }
            Input::Frame { network, bytes } => match EthernetFrame::parse(bytes) {
                Some(frame) => {
                    self.networks
                        .handle_frame(&mut self.transport, now, network, &frame);
                    self.networks_soon(now);
                }
                None => self.transport.count_malformed(),
            },
            Input::UnknownPath { peer, path } => self.transport.note_unknown_path(now, peer, path),
            Input::Relayed {
                source,
                destination,
            } => self.transport.introduce_if_due(now, source, destination),
            Input::Lanes { arrivals, sent } => self.transport.note_lanes(now, arrivals, sent),
            Input::Samples(samples) => self.transport.note_samples(samples),
            Input::SlotBytes { peer, slots } => self.transport.note_slot_bytes(now, peer, slots),
            Input::SendFailed { path, errno } => self.transport.note_send_failed(now, path, errno),
            Input::Command(command) => self.command(now, command),
            Input::Tick => {}
        }
        self.notice_learned(now);
        if !was_online && self.transport.is_online() {
            // What waited for a way to an upstream need not wait for the next retry.
            self.retry_waiting(now);
        }
        self.run_timers(now);
        self.transport.run_bonds(now);
        self.publish_if_due(now);
    }

    /// The next thing to do; [`Output::Timeout`] when there is nothing more.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        self.transport
            .next_output()
            .unwrap_or_else(|| Output::Timeout(self.next_deadline()))
    }

    /// For the API.
    pub fn status(&self) -> NodeStatus {
        self.transport.status(self.now)
    }

    /// For the API, by address.
    pub fn peers(&self, now: Instant) -> Vec<PeerStatus> {
        self.transport.peer_status(now)
    }

    /// For the API, by id.
    pub fn networks(&self, now: Instant) -> Vec<NetworkStatus> {
        self.networks.status(now)
    }

    /// Moons held, by id.
    pub fn moons(&self) -> Vec<World> {
        self.transport.moons()
    }

    /// Peers that should be written to the cache at an orderly stop: address and file content.
    pub fn peer_cache(&self) -> Vec<(protocol::Address, Vec<u8>)> {
        self.transport.peer_cache()
    }

    /// Carries out an operator's order for the bond with `peer`; the text is for the operator. As after [`Node::handle`],
    /// call [`Node::poll`] afterwards.
    ///
    /// # Errors
    ///
    /// What stands in the way, as text: there is no such bond, or it refuses.
    pub fn bond_command(
        &mut self,
        now: Instant,
        peer: protocol::Address,
        command: bond::Command,
    ) -> Result<String, String> {
        let now = now.max(self.now);
        let answer = self.transport.bond_command(now, peer, command);
        self.handle(now, Input::Tick);
        answer
    }

    /// For the API, by peer. Peers that are not bonded, or have no path yet, are not in it.
    pub fn bonds(&self, now: Instant) -> Vec<bond::BondStatus> {
        self.transport.bond_status(now)
    }

    /// What would carry the traffic of each path that the bond with `peer` uses, if it failed now; none without a bond.
    pub fn rehearse_bond(
        &self,
        now: Instant,
        peer: protocol::Address,
    ) -> Option<Vec<bond::Rehearsal>> {
        self.transport.rehearse_bond(now, peer)
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::SetLinks(links) => {
                if self.transport.set_links(now, links) {
                    self.contact_upstreams_anew(now);
                }
            }
            Command::SetWallClock(wall) => self.transport.set_wall(wall),
            Command::Orbit { moon, seed } => {
                self.transport.orbit(moon, seed);
                self.contact_upstreams_anew(now);
            }
            Command::LoadMoon(moon) => {
                self.transport.load_moon(now, *moon);
                self.contact_upstreams_anew(now);
            }
            Command::Deorbit(moon) => self.transport.deorbit(now, moon),
            Command::LoadPeer {
                identity,
                endpoints,
            } => self.transport.load_peer(now, identity, endpoints),
            Command::Configure(config) => self.transport.configure(*config),
            Command::SetBonding(settings) => self.transport.set_bonding(settings),
            Command::SetCapped(interfaces) => self.transport.set_capped(interfaces),
            Command::SetPathMtu {
                interface,
                remote,
                mtu,
            } => self.transport.set_path_mtu(interface, remote, mtu),
            Command::LinkState { interface, event } => {
                self.transport.note_link_state(now, &interface, event);
            }
            Command::SetMappedAddresses(mapped) => self.transport.set_mapped(mapped),
            command @ (Command::Join { .. }
            | Command::Leave(_)
            | Command::PortFailed { .. }
            | Command::PortState { .. }
            | Command::Controller(_)) => {
                self.networks
                    .handle_command(&mut self.transport, now, command);
                self.deadlines.networks = now;
            }
        }
    }

    /// The next ping check is now, and those that it does not reach are tried again soon.
    fn contact_upstreams_anew(&mut self, now: Instant) {
        self.deadlines.ping_check = now;
        self.early_contacts = MAX_EARLY_CONTACTS;
    }

    /// Plans another attempt at upstreams without a path, if there are such and it is not yet enough.
    fn plan_early_contact(&mut self, now: Instant) {
        let wanted = self.early_contacts > 0 && self.transport.lacks_an_upstream();
        self.deadlines.early_contact = wanted.then(|| now + timers::EARLY_CONTACT);
    }

    /// Opens a whole packet, handles it, and does what every authentic packet does.
    fn process(&mut self, now: Instant, incoming: Incoming) {
        let Some(incoming) = self.transport.open(now, incoming) else {
            return;
        };
        let Some(view) = PacketView::new(&incoming.packet) else {
            return;
        };
        let verb = view.verb();
        let packet = Received {
            path: incoming.path,
            source: view.source(),
            id: view.id(),
            hops: view.hops(),
            verb: verb.unwrap_or(Verb::Nop),
            payload: view.payload(),
        };
        self.transport
            .count_received(packet.source, incoming.packet[VERB_OFFSET]);
        match self.dispatch(now, &packet) {
            Handled::Done => self.transport.note_authentic(now, &packet, false),
            Handled::Trusted => {
                self.transport.note_authentic(now, &packet, true);
                if packet.verb == Verb::NetworkCredentials {
                    // Frames that wait for these credentials need not wait for the next retry.
                    self.deadlines.retry = Some(now);
                }
            }
            Handled::Hold => self.transport.put_aside(now, incoming),
            Handled::RateLimited => {}
        }
    }

    fn dispatch(&mut self, now: Instant, packet: &Received<'_>) -> Handled {
        match packet.verb {
            Verb::Nop | Verb::RemoteTrace => Handled::Done,
            Verb::UserMessage => {
                self.transport.handle_user_message(now, packet);
                Handled::Done
            }
            Verb::Hello => {
                // Does its own path learning, after its answer.
                self.transport.handle_opened_hello(now, packet);
                Handled::RateLimited
            }
            Verb::Ok => self.dispatch_ok(now, packet),
            Verb::Error => self.dispatch_error(now, packet),
            Verb::Whois => self.transport.handle_whois(now, packet),
            Verb::Echo => self.transport.handle_echo(now, packet),
            Verb::Rendezvous => {
                self.transport.handle_rendezvous(now, packet);
                Handled::Done
            }
            Verb::PushDirectPaths => {
                self.transport.handle_push_direct_paths(now, packet);
                Handled::Done
            }
            // Measurements say nothing of where a peer may be reached (7.0).
            Verb::QosMeasurement => {
                self.transport.handle_qos(now, packet);
                Handled::RateLimited
            }
            Verb::Ack | Verb::PathNegotiationRequest => Handled::RateLimited,
            Verb::Frame
            | Verb::ExtFrame
            | Verb::MulticastLike
            | Verb::NetworkCredentials
            | Verb::NetworkConfigRequest
            | Verb::NetworkConfig
            | Verb::MulticastGather
            | Verb::MulticastFrame => {
                let handled = self
                    .networks
                    .handle_packet(&mut self.transport, now, packet);
                self.networks_soon(now);
                handled
            }
        }
    }

    fn dispatch_ok(&mut self, now: Instant, packet: &Received<'_>) -> Handled {
        let Ok((in_reply, body)) = InReply::decode(packet.payload) else {
            self.transport.count_malformed_of(packet.source);
            return Handled::RateLimited;
        };
        let is_probe = self.transport.is_probe(packet.source, in_reply.packet);
        if !is_probe && !self.transport.is_expected(in_reply.packet) {
            return Handled::RateLimited;
        }
        match Verb::from_byte(in_reply.verb) {
            Some(Verb::Hello) => return self.transport.handle_ok_hello(now, packet, body),
            Some(Verb::Whois) => self.transport.handle_ok_whois(now, packet, body),
            Some(Verb::Echo) => {
                self.transport
                    .handle_ok_echo(now, packet.source, in_reply.packet);
            }
            Some(
                Verb::NetworkConfigRequest
                | Verb::MulticastGather
                | Verb::MulticastFrame
                | Verb::ExtFrame,
            ) => {
                self.networks
                    .handle_ok(&mut self.transport, now, packet, in_reply, body);
                self.networks_soon(now);
            }
            _ => {}
        }
        Handled::Done
    }

    fn dispatch_error(&mut self, now: Instant, packet: &Received<'_>) -> Handled {
        let decoded = InReply::decode(packet.payload)
            .and_then(|(in_reply, body)| Ok((in_reply, ErrorBody::decode(body)?)));
        let Ok((in_reply, error)) = decoded else {
            self.transport.count_malformed_of(packet.source);
            return Handled::RateLimited;
        };
        self.transport.count_error(error.code);
        if Transport::is_collision(error.code) {
            self.transport.handle_collision(packet.source);
        } else {
            self.networks
                .handle_error(&mut self.transport, now, packet, in_reply, &error);
            self.networks_soon(now);
        }
        Handled::Done
    }

    /// The networks did something: their next deadline may have changed.
    fn networks_soon(&mut self, now: Instant) {
        self.deadlines.networks = self.deadlines.networks.min(now + timers::GRANULARITY);
    }

    /// New identities set waiting packets going.
    fn notice_learned(&mut self, now: Instant) {
        let learned = self.transport.take_learned();
        if learned.is_empty() {
            return;
        }
        for address in learned {
            self.networks
                .identity_learned(&mut self.transport, now, address);
        }
        self.networks_soon(now);
        self.retry_waiting(now);
    }

    fn retry_waiting(&mut self, now: Instant) {
        self.deadlines.retry = None;
        self.transport.retry_transmit_queue(now);
        for incoming in self.transport.take_waiting(now) {
            self.process(now, incoming);
        }
    }

    fn run_timers(&mut self, now: Instant) {
        if now >= self.deadlines.activity {
            self.deadlines.activity = now + timers::ACTIVITY_CHECK;
            self.transport.read_activity(now);
        }
        if now >= self.deadlines.ping_check {
            self.deadlines.ping_check = now + self.transport.ping_interval();
            self.transport.ping_check(now);
            self.networks.ping_check(&mut self.transport, now);
            self.networks_soon(now);
            self.plan_early_contact(now);
        }
        if self.deadlines.early_contact.is_some_and(|at| now >= at) {
            self.early_contacts = self.early_contacts.saturating_sub(1);
            self.transport.contact_lacking_upstreams(now);
            self.plan_early_contact(now);
        }
        if now >= self.deadlines.housekeeping {
            self.deadlines.housekeeping = now + timers::HOUSEKEEPING;
            self.transport.housekeeping(now);
        }
        if self.deadlines.retry.is_some_and(|at| now >= at) {
            self.retry_waiting(now);
        }
        if now >= self.deadlines.networks {
            let next = self.networks.tick(&mut self.transport, now);
            self.deadlines.networks = next.max(now + timers::GRANULARITY);
        }
        if self.transport.anything_waits() {
            self.deadlines.retry.get_or_insert(now + timers::RETRY);
        } else {
            self.deadlines.retry = None;
        }
    }

    fn publish_if_due(&mut self, now: Instant) {
        if !self.transport.is_snapshot_dirty()
            || !timers::due(self.deadlines.last_publish, now, timers::PUBLISH)
        {
            return;
        }
        let (peers, peers_changed) = self.transport.snapshot_peers(now);
        let networks = self.networks.snapshot(&self.transport, now);
        let is_upstream = self.transport.is_upstream();
        let networks_changed = networks.len() != self.shown_networks.len()
            || networks
                .iter()
                .zip(&self.shown_networks)
                .any(|(a, b)| a.0 != b.0 || !Arc::ptr_eq(a.1, b.1));
        if !peers_changed
            && !networks_changed
            && is_upstream == self.shown_upstream
            && self.epoch > 0
        {
            return;
        }
        self.epoch += 1;
        self.deadlines.last_publish = Some(now);
        self.shown_networks.clone_from(&networks);
        self.shown_upstream = is_upstream;
        self.transport.output(Output::Publish(Arc::new(Snapshot {
            epoch: self.epoch,
            address: self.transport.address(),
            is_upstream,
            peers,
            networks,
        })));
    }

    fn next_deadline(&self) -> Instant {
        let d = &self.deadlines;
        let mut next = d.ping_check.min(d.housekeeping).min(d.networks);
        if self.transport.has_peers() {
            next = next.min(d.activity);
        }
        for at in [d.retry, d.early_contact].into_iter().flatten() {
            next = next.min(at);
        }
        if let Some(bonds) = self.transport.next_bond_deadline() {
            next = next.min(bonds);
        }
        if self.transport.is_snapshot_dirty() {
            next = next.min(d.last_publish.map_or(self.now, |at| at + timers::PUBLISH));
        }
        next
    }
}
