//! HELLO and its answer (protocol specification 7.2).

use std::net::SocketAddr;

use protocol::packet::{PAYLOAD_OFFSET, PacketView};
use protocol::verb::{ErrorCode, Features, Hello, OkHello};
use protocol::{
    Address, Identity, Instant, PROTOCOL_VERSION, SOFTWARE_VERSION, SessionKeys, Suite, Verb,
};

use super::{Handled, Received, Transport};
use crate::io::{LinkId, Output, PathKey, Transmit};
use crate::limits::MAX_NUMBERED_WORKERS;
use crate::peer::{Peer, Version};
use crate::queue::Incoming;

/// The oldest protocol version that is spoken to.
const MIN_PROTOCOL_VERSION: u8 = 4;
/// The first version that understands the real port in OK(HELLO).
const FIRST_VERSION_WITH_PORT: u8 = 5;
/// What we say of ourselves behind the last field of HELLO, and of OK(HELLO) to nodes of our kind.
const FEATURES: Features = Features {
    bits: Features::NUMBERED | Features::REPORTS | Features::PROBES,
    lanes: 0,
};

impl Transport {
    /// Sends HELLO to a peer at `to`. It leaves from every link, except in low-bandwidth mode (8.3.1).
    pub(super) fn send_hello(
        &mut self,
        now: Instant,
        peer: Address,
        to: SocketAddr,
        link: Option<LinkId>,
    ) {
        let link = link.filter(|_| self.low_bandwidth());
        let links = self.live_links(link, to);
        self.send_hello_over(now, peer, to, &links);
    }

    /// HELLO over these links; `None` stands for all.
    pub(super) fn send_hello_over(
        &mut self,
        now: Instant,
        peer: Address,
        to: SocketAddr,
        links: &[Option<LinkId>],
    ) {
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            software_version: SOFTWARE_VERSION,
            timestamp: self.wall(now),
            identity: self.secret.public().clone(),
            sent_to: Some(to),
            planet_id: self.roots.planet().id,
            planet_timestamp: self.roots.planet().timestamp,
        };
        let mut packet = self.build(peer, Verb::Hello, &[], false);
        hello.encode(&mut packet);
        let masked_from = packet.len();
        Hello::encode_section(&self.roots.hello_moons(), self.own_features(), &mut packet);
        let (Some(peer), Some(view)) = (self.peers.get(&peer), PacketView::new(&packet)) else {
            return;
        };
        let id = view.id();
        peer.keys.mask_hello_section(id, &mut packet[masked_from..]);
        let id = peer.keys.seal(&mut packet, Suite::Poly1305);
        self.expected.register(id);
        peer.activity.packets_sent.add(1);
        self.counters.sent[Verb::Hello as usize] += 1;
        for link in links {
            self.output(Output::Transmit(Transmit {
                link: *link,
                to,
                bytes: packet.clone(),
                ttl: None,
            }));
        }
    }

    /// A HELLO under suite 0, not authenticated yet.
    pub(super) fn handle_hello(&mut self, now: Instant, incoming: &Incoming) {
        let path = incoming.path;
        let Some(view) = PacketView::new(&incoming.packet) else {
            return;
        };
        let source = view.source();
        let Ok((hello, masked_from)) = Hello::decode(view.payload()) else {
            self.counters.malformed += 1;
            return;
        };
        if !is_acceptable(&hello, source) {
            return;
        }
        let mut packet = incoming.packet.clone();
        match self.peers.get(&source) {
            Some(peer) if peer.identity == hello.identity => {
                if peer.keys.open(&mut packet).is_err() {
                    self.counters.bad_tag += 1;
                    peer.activity.packet_errors.add(1);
                    return;
                }
            }
            Some(_) => {
                self.answer_collision(now, path, &hello.identity, &mut packet);
                return;
            }
            None => {
                if !self.validation.may_validate(now, path.remote.ip()) {
                    return;
                }
                let keys = SessionKeys::new(&self.secret.agree(&hello.identity));
                if keys.open(&mut packet).is_err() {
                    self.counters.bad_tag += 1;
                    return;
                }
                if !hello.identity.validate() {
                    self.counters.malformed += 1;
                    return;
                }
                let peer = Peer::with_keys(hello.identity.clone(), keys, now);
                self.insert_peer(now, peer);
            }
        }
        self.count_received(source, Verb::Hello as u8);
        let received = Received {
            path,
            source,
            id: view.id(),
            hops: view.hops(),
            verb: Verb::Hello,
            payload: view.payload(),
        };
        self.answer_hello(now, &received, &hello, masked_from);
    }

    /// A HELLO that was already authenticated with its sender's keys.
    pub(crate) fn handle_opened_hello(&mut self, now: Instant, packet: &Received<'_>) {
        let Ok((hello, masked_from)) = Hello::decode(packet.payload) else {
            return;
        };
        let known = self.peers.get(&packet.source).map(|p| &p.identity);
        if is_acceptable(&hello, packet.source) && known == Some(&hello.identity) {
            self.answer_hello(now, packet, &hello, masked_from);
        }
    }

    /// Somebody else has this address already: says so if the newcomer at least holds the keys that it shows.
    fn answer_collision(
        &mut self,
        now: Instant,
        path: PathKey,
        identity: &Identity,
        packet: &mut [u8],
    ) {
        if !self.validation.may_validate(now, path.remote.ip()) {
            return;
        }
        let keys = SessionKeys::new(&self.secret.agree(identity));
        if keys.open(packet).is_err() {
            self.counters.bad_tag += 1;
            return;
        }
        let Some(id) = PacketView::new(packet).map(PacketView::id) else {
            return;
        };
        let payload = self.error_payload(Verb::Hello, id, ErrorCode::IdentityCollision, &[]);
        let mut error = self.build(identity.address(), Verb::Error, &payload, false);
        keys.seal(&mut error, Suite::Salsa20Poly1305);
        self.counters.sent[Verb::Error as usize] += 1;
        self.emit(now, path, error);
    }

    /// Steps 4 to 8 of receiving HELLO: the packet is authentic and the peer known.
    fn answer_hello(
        &mut self,
        now: Instant,
        packet: &Received<'_>,
        hello: &Hello,
        masked_from: usize,
    ) {
        let (source, path) = (packet.source, packet.path);
        if let (0, Some(seen)) = (packet.hops, hello.sent_to) {
            self.note_surface(now, source, path, seen);
        }
        let Some(section) = packet.payload.get(masked_from..) else {
            return;
        };
        let mut section = section.to_vec();
        let (mut moons, mut features) = (Vec::new(), None);
        if !section.is_empty() {
            let Some(peer) = self.peers.get(&source) else {
                return;
            };
            peer.keys.mask_hello_section(packet.id, &mut section);
            let Ok(read) = Hello::decode_section(&section) else {
                self.count_malformed_of(source);
                return;
            };
            (moons, features) = read;
        }
        let mut received_from = path.remote;
        if hello.protocol_version < FIRST_VERSION_WITH_PORT {
            received_from.set_port(0);
        }
        let ok = OkHello {
            timestamp_echo: hello.timestamp,
            protocol_version: PROTOCOL_VERSION,
            software_version: SOFTWARE_VERSION,
            received_from: Some(received_from),
            worlds: self
                .roots
                .updates_for(hello.planet_id, hello.planet_timestamp, &moons),
            // Nobody else is shown more than the reference shows.
            features: features.and_then(|_| self.own_features()),
        };
        let mut body = Vec::with_capacity(PAYLOAD_OFFSET);
        ok.encode(&mut body);
        // Sealed with what was known before this HELLO: the first answer to a newcomer is in Salsa20 (2.7).
        self.reply_ok(now, packet, &body);
        self.set_version(source, hello.protocol_version, hello.software_version);
        self.set_features(source, features);
        self.note_authentic(now, packet, false);
    }

    /// OK(HELLO), expected.
    pub(crate) fn handle_ok_hello(
        &mut self,
        now: Instant,
        packet: &Received<'_>,
        body: &[u8],
    ) -> Handled {
        let Ok(ok) = OkHello::decode(body) else {
            self.count_malformed_of(packet.source);
            return Handled::RateLimited;
        };
        if ok.protocol_version < MIN_PROTOCOL_VERSION {
            return Handled::RateLimited;
        }
        let source = packet.source;
        if packet.hops == 0 {
            let round_trip = self.wall(now).saturating_sub(ok.timestamp_echo);
            let round_trip = u32::try_from(round_trip).unwrap_or(u32::MAX);
            if let Some(record) = self.paths.entry(now, packet.path) {
                record.measure(round_trip);
            }
        }
        self.set_version(source, ok.protocol_version, ok.software_version);
        self.set_features(source, ok.features);
        if !ok.worlds.is_empty() && (self.roots.contains(source) || self.roots.is_seed(source)) {
            let changed = self.roots.take_updates(&ok.worlds);
            if !changed.is_empty() {
                for (object, content) in changed {
                    self.persist(object, Some(content));
                }
                self.upstreams_changed(now);
            }
        }
        if let (0, Some(seen)) = (packet.hops, ok.received_from) {
            self.note_surface(now, source, packet.path, seen);
        }
        Handled::Done
    }

    fn set_version(&mut self, peer: Address, protocol: u8, software: (u8, u8, u16)) {
        let version = Some(Version { protocol, software });
        if let Some(record) = self.peers.get_mut(&peer)
            && record.version != version
        {
            record.version = version;
            self.mark_peer_dirty(peer);
        }
    }

    fn own_features(&self) -> Option<Features> {
        let config = &self.settings.config;
        let lanes = 1 + config.workers.min(MAX_NUMBERED_WORKERS) as u8;
        (!config.is_plain).then_some(Features { lanes, ..FEATURES })
    }

    /// What the peer's latest HELLO or answer to ours says counts: it may run something else now.
    fn set_features(&mut self, peer: Address, features: Option<Features>) {
        let features = features.filter(|_| !self.settings.config.is_plain);
        if let Some(record) = self.peers.get_mut(&peer)
            && record.features != features
        {
            record.features = features;
            self.mark_peer_dirty(peer);
        }
    }

    /// A peer told how it sees us (9.1).
    fn note_surface(&mut self, now: Instant, reporter: Address, path: PathKey, seen: SocketAddr) {
        let trusted = self.roots.contains(reporter);
        let moved = self.surface.report(now, reporter, path, seen, trusted);
        if let Some(scope) = moved {
            self.reset_paths(now, scope, seen.is_ipv4());
        }
    }
}

fn is_acceptable(hello: &Hello, source: Address) -> bool {
    hello.protocol_version >= MIN_PROTOCOL_VERSION && hello.identity.address() == source
}
