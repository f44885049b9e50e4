//! PUSH_DIRECT_PATHS in both directions, and cluster redirects (protocol specification 9.2, 8.9).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use protocol::verb::{self, DirectPath, Verb};
use protocol::{Address, Instant, IpScope};

use super::{Received, Transport};
use crate::io::PathKey;
use crate::limits::{
    MAX_PUSH_BYTES, MAX_PUSHED_ENDPOINTS, MAX_PUSHED_PER_CLASS, MAX_PUSHES_IN_A_ROW,
};
use crate::physical::can_carry_path;
use crate::timers::{self, due, within};

/// The record is to be ignored.
const FLAG_FORGET: u8 = 0x01;
/// Use this address instead of the one that the packet came from.
const FLAG_CLUSTER_REDIRECT: u8 = 0x02;
/// How much a redirect outranks what it came over.
const REDIRECT_PRIORITY: u32 = 2;

impl Transport {
    /// Tells a peer where we might be reached, if that is due.
    pub(super) fn push_direct_paths(
        &mut self,
        now: Instant,
        peer: Address,
        path: PathKey,
        direct: bool,
    ) {
        let interval = match (direct, self.low_bandwidth()) {
            (false, _) => timers::PUSH_RELAYED,
            (true, false) => timers::PUSH_DIRECT,
            (true, true) => timers::PUSH_DIRECT * 16,
        };
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        if !due(record.last_push_sent, now, interval) {
            return;
        }
        record.last_push_sent = Some(now);
        let own: Vec<DirectPath> = self
            .own_endpoints(now)
            .into_iter()
            .map(|endpoint| DirectPath { flags: 0, endpoint })
            .collect();
        // The largest record is 23 bytes.
        for records in own.chunks(MAX_PUSH_BYTES / 23) {
            let mut payload = Vec::new();
            verb::encode_direct_paths(records, &mut payload);
            self.send_on_path(now, peer, path, Verb::PushDirectPaths, &payload, true);
        }
    }

    /// Where we might be reached.
    fn own_endpoints(&self, now: Instant) -> Vec<SocketAddr> {
        let local = self
            .links
            .iter()
            .map(|l| l.local)
            .filter(|local| can_carry_path(local.ip()));
        local
            .chain(self.mapped.iter().copied())
            .chain(self.surface.addresses(now))
            .take(MAX_PUSHED_ENDPOINTS)
            .collect()
    }

    /// PUSH_DIRECT_PATHS came in.
    pub(crate) fn handle_push_direct_paths(&mut self, now: Instant, packet: &Received<'_>) {
        let source = packet.source;
        let Some(peer) = self.peers.get_mut(&source) else {
            return;
        };
        let in_a_row = peer
            .last_push_received
            .is_some_and(|at| now.duration_since(at) <= timers::PUSH_WINDOW);
        peer.pushes_in_a_row = if in_a_row {
            peer.pushes_in_a_row.saturating_add(1)
        } else {
            0
        };
        peer.last_push_received = Some(now);
        if peer.pushes_in_a_row >= MAX_PUSHES_IN_A_ROW {
            return;
        }
        let Ok(records) = verb::decode_direct_paths(packet.payload) else {
            self.counters.malformed += 1;
            return;
        };
        let mut tried: BTreeMap<(IpScope, bool), usize> = BTreeMap::new();
        for record in records {
            let endpoint = record.endpoint;
            if record.flags & FLAG_FORGET != 0 || !self.is_usable(source, endpoint) {
                continue;
            }
            let class = (IpScope::of(endpoint.ip()), endpoint.is_ipv4());
            let count = tried.entry(class).or_default();
            if *count >= MAX_PUSHED_PER_CLASS {
                continue;
            }
            if record.flags & FLAG_CLUSTER_REDIRECT != 0 {
                *count += 1;
                self.redirect(now, source, packet.path, endpoint);
            } else if !self.has_path_to(now, source, endpoint) {
                *count += 1;
                self.contact(now, source, endpoint, None, false);
            }
        }
    }

    fn has_path_to(&self, now: Instant, peer: Address, endpoint: SocketAddr) -> bool {
        self.peers.get(&peer).is_some_and(|p| {
            p.paths
                .iter()
                .any(|path| path.key.remote == endpoint && !path.is_expired(now))
        })
    }

    /// 8.9: the peer wants to be used at another address.
    fn redirect(&mut self, now: Instant, peer: Address, over: PathKey, to: SocketAddr) {
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        let priority = record.path_mut(over).map_or(1, |p| p.priority) + REDIRECT_PRIORITY;
        let new = PathKey {
            link: over.link,
            remote: to,
        };
        if record
            .paths
            .iter()
            .any(|p| p.key == new && p.priority >= priority)
        {
            return;
        }
        self.send_hello(now, peer, to, Some(over.link));
        self.retain_paths(peer, |p| {
            p.priority >= priority && !is_same_place(p.key.remote.ip(), to.ip())
        });
        self.learn_path(now, peer, new, priority);
    }

    /// Workers heard from a trusted peer: its push may be due although no packet of it came here.
    pub(super) fn push_after_activity(&mut self, now: Instant, peer: Address) {
        let Some(record) = self.peers.get(&peer) else {
            return;
        };
        if !within(record.last_trust, now, timers::TRUST) {
            return;
        }
        if let Some(path) = self.direct_path(now, peer, false) {
            self.push_direct_paths(now, peer, path, true);
        } else if let Some((_, path)) = self.relay_path(now, peer) {
            self.push_direct_paths(now, peer, path, false);
        }
    }
}

/// Same IPv4 address, or same IPv6 /64.
fn is_same_place(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a == b,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets()[..8] == b.octets()[..8],
        _ => false,
    }
}
