//! Sending: routes, seals, fragments, queues (protocol specification 4.2).

use protocol::packet::{
    self, FLAG_FRAGMENTED, MAX_PIECES, PAYLOAD_OFFSET, PacketView, piece_count, seal_trusted, split,
};
use protocol::{Address, Instant, PacketId, Suite, Verb};

use super::Transport;
use crate::io::{Output, PathKey, Transmit};
use crate::peer::Peer;
use crate::peer::path::LATENCY_UNKNOWN;
use crate::queue::Outgoing;
use crate::timers::{self, due, millis_since};

/// Offset of flags, cipher and hops in a packet.
const FLAGS_OFFSET: usize = 18;

/// Why a packet could not be sent yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotSent {
    UnknownPeer,
    NoPath,
    /// Longer than seven datagrams: nobody could join it.
    TooLarge,
}

impl Transport {
    /// A fresh packet from us, not sealed.
    pub(super) fn build(
        &mut self,
        to: Address,
        verb: Verb,
        payload: &[u8],
        compress: bool,
    ) -> Vec<u8> {
        let id = PacketId(self.random_u64());
        let mut packet = vec![0; PAYLOAD_OFFSET];
        packet::write_header(&mut packet, id, to, self.address, verb);
        packet.extend_from_slice(payload);
        if compress {
            packet::compress(&mut packet);
        }
        packet
    }

    pub(super) fn send_or_queue(
        &mut self,
        now: Instant,
        to: Address,
        mut packet: Vec<u8>,
    ) -> Option<PacketId> {
        match self.try_send(now, to, &mut packet) {
            Ok(id) => return Some(id),
            Err(NotSent::TooLarge) => self.counters.overflow += 1,
            Err(reason) => {
                let entry = Outgoing {
                    since: now,
                    to,
                    packet,
                };
                self.counters.overflow += u64::from(self.transmit_queue.push(now, entry));
                if reason == NotSent::UnknownPeer {
                    self.whois(now, to);
                }
            }
        }
        None
    }

    /// Sends by the best route or says why not; then the packet is left as it was.
    pub(super) fn try_send(
        &mut self,
        now: Instant,
        to: Address,
        packet: &mut Vec<u8>,
    ) -> Result<PacketId, NotSent> {
        if !self.peers.contains_key(&to) {
            return Err(NotSent::UnknownPeer);
        }
        let bonded = self.bonded_route(to, packet);
        let route = bonded
            .or_else(|| self.route(now, to))
            .ok_or(NotSent::NoPath)?;
        let ip = route.remote.ip();
        let verb = PacketView::new(packet).and_then(|view| view.verb());
        let verb = verb.unwrap_or(Verb::Nop);
        let copies = self.bonded_copies(to, route, verb);
        // One size for all copies: their pieces belong to one packet.
        let mtus = copies.iter().chain([&route]);
        let mtu = mtus.map(|path| self.path_mtu(to, *path)).min();
        let mtu = usize::from(mtu.unwrap_or_else(|| self.settings.mtu(ip)));
        if packet.len() > mtu {
            if piece_count(packet.len(), mtu) > MAX_PIECES {
                return Err(NotSent::TooLarge);
            }
            // Authenticated, so it must stand before the seal.
            packet[FLAGS_OFFSET] |= FLAG_FRAGMENTED;
        }
        let trusted = self.settings.trusted_path(ip);
        let is_alone = copies.is_empty();
        let sealed = self.seal(to, packet, trusted, route, is_alone);
        let id = sealed.ok_or(NotSent::UnknownPeer)?;
        // The reference does not expect replies to what it sends over trusted paths, and so never comes to terms with a
        // root behind one. Expecting them costs nothing.
        self.expected.register(id);
        let one_in = self.sampled_one_in(to, route);
        for path in copies.iter().chain([&route]) {
            self.note_bond_sent(now, to, *path, (id, one_in), verb, packet.len());
        }
        let datagrams = if packet.len() > mtu {
            split(packet, mtu)
        } else {
            vec![std::mem::take(packet)]
        };
        for path in copies {
            for datagram in &datagrams {
                self.emit(now, path, datagram.clone());
            }
        }
        for datagram in datagrams {
            self.emit(now, route, datagram);
        }
        Ok(id)
    }

    /// Seals for a peer with the suite of its version, or for a trusted path. `path`: where it leaves; `is_alone`: and nowhere
    /// else.
    fn seal(
        &mut self,
        to: Address,
        packet: &mut [u8],
        trusted: Option<u64>,
        path: PathKey,
        is_alone: bool,
    ) -> Option<PacketId> {
        let verb = usize::from(packet[PAYLOAD_OFFSET - 1] & 0x1f);
        self.counters.sent[verb] += 1;
        let odd = PacketView::new(packet)
            .and_then(|view| view.verb())
            .and_then(|verb| self.next_id_is_odd(to, path, verb));
        let peer = self.peers.get(&to)?;
        peer.activity.packets_sent.add(1);
        if let Some(trusted_path_id) = trusted {
            return Some(seal_trusted(packet, trusted_path_id, odd));
        }
        let suite = match verb_suite(verb) {
            Some(suite) => suite,
            None => peer.suite(),
        };
        if suite == Suite::AesGmacSiv {
            let random = PacketView::new(packet)?.id();
            let inner = peer.inner_id(is_alone.then_some(path), random);
            packet[..8].copy_from_slice(&inner.0.to_be_bytes());
        }
        Some(peer.keys.seal_as(packet, suite, odd))
    }

    /// Sends one datagram, whatever its size, on a path of the caller's choice; never as trusted path. The caller decides
    /// whether to expect replies.
    pub(super) fn send_on_path(
        &mut self,
        now: Instant,
        to: Address,
        path: PathKey,
        verb: Verb,
        payload: &[u8],
        compress: bool,
    ) -> Option<PacketId> {
        let mut packet = self.build(to, verb, payload, compress);
        let id = self.seal(to, &mut packet, None, path, true)?;
        let one_in = self.sampled_one_in(to, path);
        self.note_bond_sent(now, to, path, (id, one_in), verb, packet.len());
        self.emit(now, path, packet);
        Some(id)
    }

    /// One datagram on one path; none over a link without carrier or address.
    pub(super) fn emit(&mut self, now: Instant, path: PathKey, bytes: Vec<u8>) {
        if self.is_dead(path.link) {
            return;
        }
        if let Some(record) = self.paths.get(path) {
            record.activity.sent.set(now);
        }
        self.output(Output::Transmit(Transmit {
            link: Some(path.link),
            to: path.remote,
            bytes,
            ttl: None,
        }));
    }

    /// Where a packet to `to` goes now, without a bond: best direct path, else relay, else whatever path there was.
    pub(super) fn route(&mut self, now: Instant, to: Address) -> Option<PathKey> {
        if let Some(direct) = self.direct_path(now, to, false) {
            return Some(direct);
        }
        self.try_hint(now, to);
        self.relay_path(now, to)
            .map(|(_, path)| path)
            .or_else(|| self.direct_path(now, to, true))
    }

    /// The best path of a peer itself.
    pub(super) fn direct_path(
        &self,
        now: Instant,
        peer: Address,
        also_expired: bool,
    ) -> Option<PathKey> {
        let record = self.peers.get(&peer)?;
        let best = record.best_path_where(now, &self.paths, |path| {
            (also_expired || !path.is_expired(now))
                && !self.is_dead(path.key.link)
                && !self.is_forbidden(peer, path.key)
        })?;
        record.paths.get(best).map(|p| p.key)
    }

    /// The best upstream's best path, for packets to someone else.
    pub(super) fn relay_path(&self, now: Instant, to: Address) -> Option<(Address, PathKey)> {
        let relay = self.best_upstream(now).filter(|relay| *relay != to)?;
        self.direct_path(now, relay, false)
            .map(|path| (relay, path))
    }

    /// 8.7: a configured address is tried now and then while there is no direct path.
    fn try_hint(&mut self, now: Instant, to: Address) {
        let hints = self.settings.hints(to);
        if hints.is_empty() {
            return;
        }
        let count = hints.len();
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        if !due(peer.last_hint, now, timers::HINT) {
            return;
        }
        peer.last_hint = Some(now);
        let index = self.random_index(count);
        let hint = self.settings.hints(to)[index];
        self.send_hello(now, to, hint, None);
    }

    /// 9.5: the smaller the better.
    pub(super) fn upstream_score(&self, now: Instant, peer: &Peer) -> u64 {
        let latency = match peer.latency(now, &self.paths) {
            None | Some(0) => LATENCY_UNKNOWN,
            Some(latency) => latency,
        };
        match peer.last_receive() {
            Some(at) if !due(Some(at), now, timers::PEER_ALIVE) => {
                u64::from(latency) * (millis_since(at, now) / timers::UPSTREAM_SILENCE + 1)
            }
            _ => u64::MAX,
        }
    }

    /// Tries queued packets again.
    pub(crate) fn retry_transmit_queue(&mut self, now: Instant) {
        for mut entry in self.transmit_queue.take(now) {
            match self.try_send(now, entry.to, &mut entry.packet) {
                Ok(_) | Err(NotSent::TooLarge) => {}
                Err(reason) => {
                    let to = entry.to;
                    self.transmit_queue.push(now, entry);
                    if reason == NotSent::UnknownPeer {
                        self.whois(now, to);
                    }
                }
            }
        }
    }
}

/// Verbs with a suite of their own, whoever the peer is (2.7).
fn verb_suite(verb: usize) -> Option<Suite> {
    let mac_only = [
        Verb::Hello,
        Verb::QosMeasurement,
        Verb::PathNegotiationRequest,
    ];
    mac_only
        .iter()
        .any(|v| *v as usize == verb)
        .then_some(Suite::Poly1305)
}
