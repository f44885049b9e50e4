//! The other verbs of VL1: WHOIS, ECHO, RENDEZVOUS, ERROR (protocol specification 7).

use protocol::verb::{self, ErrorCode, Features, Rendezvous};
use protocol::{Address, Identity, Instant, PacketId, Reader};

use super::{Handled, Received, Transport};
use crate::io::{Event, Output, Transmit};
use crate::timers::{self, due};

/// Junk that opens the way through our own NAT; its life is too short to reach the other side.
const PUNCH_LENGTH: usize = 4;
const PUNCH_TTL: u8 = 2;
/// So many identities fit into an OK(WHOIS).
const MAX_WHOIS_ANSWERS: usize = 130;

impl Transport {
    /// WHOIS came in.
    pub(crate) fn handle_whois(&mut self, now: Instant, packet: &Received<'_>) -> Handled {
        if !self.roots.is_upstream()
            && let Some(peer) = self.peers.get_mut(&packet.source)
        {
            if !due(peer.last_whois_answered, now, timers::WHOIS_ANSWER) {
                return Handled::RateLimited;
            }
            peer.last_whois_answered = Some(now);
        }
        let Ok(addresses) = verb::decode_whois(packet.payload) else {
            self.count_malformed_of(packet.source);
            return Handled::Done;
        };
        let mut body = Vec::new();
        for address in addresses {
            match self.identity_of(address) {
                Some(identity) if body.len() < MAX_WHOIS_ANSWERS * Identity::WIRE_LENGTH => {
                    body.extend(identity.to_bytes());
                }
                Some(_) => break,
                None => self.whois(now, address),
            }
        }
        if !body.is_empty() {
            self.reply_ok(now, packet, &body);
        }
        Handled::Done
    }

    /// OK(WHOIS), expected: an upstream's word is enough for an identity.
    pub(crate) fn handle_ok_whois(&mut self, now: Instant, packet: &Received<'_>, body: &[u8]) {
        if !self.roots.contains(packet.source) {
            return;
        }
        match Identity::decode(&mut Reader::new(body)) {
            Ok(identity) => {
                self.add_peer(now, identity);
            }
            Err(_) => self.count_malformed_of(packet.source),
        }
    }

    /// ECHO came in.
    pub(crate) fn handle_echo(&mut self, now: Instant, packet: &Received<'_>) -> Handled {
        let ours = self.peers.get(&packet.source);
        let gate = if ours.is_some_and(|peer| peer.can(Features::PROBES)) {
            timers::OWN_ECHO
        } else {
            timers::ECHO
        };
        // Without a record there would be no limit either.
        let Some(record) = self.paths.entry(now, packet.path) else {
            self.counters.overflow += 1;
            return Handled::RateLimited;
        };
        if !due(record.last_echo, now, gate) {
            return Handled::RateLimited;
        }
        record.last_echo = Some(now);
        self.reply_ok(now, packet, packet.payload);
        Handled::Done
    }

    /// RENDEZVOUS came in.
    pub(crate) fn handle_rendezvous(&mut self, now: Instant, packet: &Received<'_>) {
        if !self.roots.contains(packet.source) {
            return;
        }
        let Ok(rendezvous) = Rendezvous::decode(packet.payload) else {
            self.count_malformed_of(packet.source);
            return;
        };
        let (peer, to) = (rendezvous.peer, rendezvous.endpoint);
        if !self.peers.contains_key(&peer) || !self.is_usable(peer, to) {
            return;
        }
        let mut junk = self.random_u64().to_be_bytes().to_vec();
        junk.truncate(PUNCH_LENGTH);
        let link = packet.path.link;
        self.output(Output::Transmit(Transmit {
            link: Some(link),
            to,
            bytes: junk,
            ttl: Some(PUNCH_TTL),
        }));
        self.contact(now, peer, to, Some(link), false);
    }

    /// ERROR(IDENTITY_COLLISION): believed of upstreams only.
    pub(crate) fn handle_collision(&mut self, source: Address) {
        if self.roots.contains(source) {
            self.event(Event::IdentityCollision);
        }
    }

    /// An OK for this packet may be processed (2.9).
    pub(crate) fn is_expected(&self, id: PacketId) -> bool {
        self.expected.is_expected(id)
    }

    /// Counts an ERROR that came in.
    pub(crate) fn count_error(&mut self, code: u8) {
        if let Some(count) = self.counters.errors_received.get_mut(usize::from(code)) {
            *count += 1;
        }
    }

    /// True for the code that concerns VL1.
    pub(crate) fn is_collision(code: u8) -> bool {
        ErrorCode::from_byte(code) == Some(ErrorCode::IdentityCollision)
    }

    /// Counts a packet that was opened.
    pub(crate) fn count_received(&mut self, source: Address, verb_number: u8) {
        self.counters.received[usize::from(verb_number & 0x1f)] += 1;
        if let Some(peer) = self.peers.get(&source) {
            peer.activity.packets_received.add(1);
        }
    }

    /// Counts a frame that could not be understood.
    pub(crate) fn count_malformed(&mut self) {
        self.counters.malformed += 1;
    }

    /// Counts a packet that could not be understood.
    pub(crate) fn count_malformed_of(&mut self, source: Address) {
        self.counters.malformed += 1;
        self.count_peer_error(source);
    }

    /// Counts a packet in a peer's name that is of no use.
    pub(super) fn count_peer_error(&self, source: Address) {
        if let Some(peer) = self.peers.get(&source) {
            peer.activity.packet_errors.add(1);
        }
    }
}
