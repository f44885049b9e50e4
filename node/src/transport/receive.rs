//! Receiving: from a datagram to an opened packet (protocol specification 4.1).

use protocol::packet::{self, FragmentView, OpenError, PacketView};
use protocol::{Address, Instant, Suite, Verb};

use super::Transport;
use crate::io::PathKey;
use crate::queue::Incoming;
use crate::timers::{self, due};

/// Length of a LAN announcement, which ends with the announcer's address.
const BEACON_LENGTH: usize = 13;
/// Datagrams up to this length mean nothing.
const MIN_DATAGRAM: usize = 17;

impl Transport {
    /// Takes a raw datagram. Returns a whole packet that is addressed to us.
    pub(crate) fn receive_datagram(
        &mut self,
        now: Instant,
        path: PathKey,
        bytes: &[u8],
    ) -> Option<Incoming> {
        if bytes.len() == BEACON_LENGTH {
            self.handle_beacon(now, path, bytes);
            return None;
        }
        if bytes.len() < MIN_DATAGRAM {
            self.counters.malformed += 1;
            return None;
        }
        if let Some(fragment) = FragmentView::new(bytes) {
            if fragment.destination() != self.address {
                self.relay(now, path, fragment.destination(), None, bytes);
                return None;
            }
            let (path, packet) = self.reassembly.fragment(fragment)?;
            return self.whole(now, path, packet);
        }
        let Some(view) = PacketView::new(bytes) else {
            self.counters.malformed += 1;
            return None;
        };
        if view.source() == self.address {
            return None;
        }
        if view.destination() != self.address {
            self.relay(now, path, view.destination(), Some(view.source()), bytes);
            return None;
        }
        if view.is_fragmented() {
            let (path, packet) = self.reassembly.head(path, view.id(), bytes)?;
            return self.whole(now, path, packet);
        }
        self.whole(now, path, bytes.to_vec())
    }

    fn whole(&mut self, now: Instant, path: PathKey, packet: Vec<u8>) -> Option<Incoming> {
        if packet.len() > packet::MAX_PACKET_LENGTH {
            self.counters.malformed += 1;
            return None;
        }
        Some(Incoming {
            arrived: now,
            path,
            packet,
            opened: false,
        })
    }

    /// Takes a sealed packet for us that a worker joined.
    pub(crate) fn receive_assembled(
        &mut self,
        now: Instant,
        path: PathKey,
        packet: &[u8],
    ) -> Option<Incoming> {
        let view = PacketView::new(packet)?;
        if view.destination() != self.address || view.source() == self.address {
            return None;
        }
        self.whole(now, path, packet.to_vec())
    }

    /// Takes a packet that a worker opened.
    pub(crate) fn receive_opened(
        &mut self,
        now: Instant,
        path: PathKey,
        packet: &[u8],
    ) -> Option<Incoming> {
        let view = PacketView::new(packet)?;
        if !self.peers.contains_key(&view.source()) || packet.len() > packet::MAX_PACKET_LENGTH {
            return None;
        }
        self.note_heard(now, path);
        let mut incoming = Incoming {
            arrived: now,
            path,
            packet: packet.to_vec(),
            opened: true,
        };
        self.decompress(&mut incoming).then_some(incoming)
    }

    /// Authenticates, decrypts and decompresses. None: the packet was finished (HELLO), dropped or put aside.
    pub(crate) fn open(&mut self, now: Instant, mut incoming: Incoming) -> Option<Incoming> {
        if incoming.opened {
            return Some(incoming);
        }
        let view = PacketView::new(&incoming.packet)?;
        let (source, id) = (view.source(), view.id());
        let trusted = match view.suite() {
            None => {
                self.counters.bad_tag += 1;
                return None;
            }
            Some(Suite::Poly1305) if view.verb() == Some(Verb::Hello) => {
                self.handle_hello(now, &incoming);
                return None;
            }
            Some(Suite::TrustedPath) => {
                let ip = incoming.path.remote.ip();
                if !self.settings.is_trusted(ip, view.trusted_path_id()) {
                    self.counters.bad_tag += 1;
                    self.count_peer_error(source);
                    return None;
                }
                true
            }
            Some(_) => false,
        };
        let Some(peer) = self.peers.get(&source) else {
            self.put_aside(now, incoming);
            self.whois(now, source);
            return None;
        };
        let mut inner = None;
        if !trusted {
            match peer.keys.open_with_inner_id(&mut incoming.packet) {
                Ok(id) => inner = id,
                Err(OpenError::BadTag | OpenError::UnsupportedSuite) => {
                    self.counters.bad_tag += 1;
                    peer.activity.packet_errors.add(1);
                    self.note_bond_forged(now, source, incoming.path);
                    return None;
                }
                Err(OpenError::TooShort) => {
                    self.counters.malformed += 1;
                    peer.activity.packet_errors.add(1);
                    return None;
                }
            }
        }
        incoming.opened = true;
        self.note_heard(now, incoming.path);
        if let Some(inner) = inner {
            self.note_numbered(now, source, inner, &incoming.packet);
        }
        if !self.is_first_copy(now, source, incoming.path, id) {
            return None;
        }
        self.decompress(&mut incoming).then_some(incoming)
    }

    /// Something authentic came over a path, whatever will become of it. The reference counts garbage too; but then anyone
    /// who forges a peer's address can make a dead path look alive.
    fn note_heard(&self, now: Instant, path: PathKey) {
        if let Some(record) = self.paths.get(path) {
            record.activity.received.set(now);
        }
    }

    fn decompress(&mut self, incoming: &mut Incoming) -> bool {
        let source = PacketView::new(&incoming.packet).map(PacketView::source);
        let good = packet::decompress(&mut incoming.packet).is_ok();
        if let (Some(source), false) = (source, good) {
            self.count_malformed_of(source);
        }
        good
    }

    /// Keeps a packet for a retry.
    pub(crate) fn put_aside(&mut self, now: Instant, incoming: Incoming) {
        self.counters.overflow += u64::from(self.wait_queue.push(now, incoming));
    }

    /// Takes all packets that wait, to try them again.
    pub(crate) fn take_waiting(&mut self, now: Instant) -> Vec<Incoming> {
        self.wait_queue.take(now)
    }

    /// Some packet waits in either queue.
    pub(crate) fn anything_waits(&self) -> bool {
        !self.wait_queue.is_empty() || !self.transmit_queue.is_empty()
    }

    /// A LAN announcement of a known peer is answered with NOP, which makes that peer look at us.
    fn handle_beacon(&mut self, now: Instant, path: PathKey, bytes: &[u8]) {
        let Ok(address) = <[u8; 5]>::try_from(&bytes[8..]) else {
            return;
        };
        let peer = Address::from_bytes(address);
        if self.peers.contains_key(&peer)
            && self.is_usable(peer, path.remote)
            && due(self.last_beacon, now, timers::BEACON)
        {
            self.last_beacon = Some(now);
            self.send_on_path(now, peer, path, Verb::Nop, &[], false);
        }
    }
}
