//! Forwarding for others, and introducing them to each other (protocol specification 9.3, 9.4).

use std::net::SocketAddr;

use protocol::packet::increment_hops;
use protocol::verb::{Rendezvous, Verb};
use protocol::{Address, Instant, IpScope};

use super::Transport;
use crate::io::PathKey;
use crate::peer::Peer;

/// Scopes in order of preference for an introduction.
const SCOPES: [IpScope; 8] = [
    IpScope::Private,
    IpScope::Shared,
    IpScope::LinkLocal,
    IpScope::Global,
    IpScope::PseudoPrivate,
    IpScope::Loopback,
    IpScope::Multicast,
    IpScope::None,
];

impl Transport {
    /// Forwards a packet (or, without a source, a fragment) that is not for us.
    pub(super) fn relay(
        &mut self,
        now: Instant,
        path: PathKey,
        to: Address,
        source: Option<Address>,
        bytes: &[u8],
    ) {
        let trusted = self.paths.get(path).is_some_and(|p| p.is_trusted(now));
        if !(self.roots.is_upstream() || trusted) || to.is_reserved() {
            return;
        }
        let mut bytes = bytes.to_vec();
        if !increment_hops(&mut bytes) {
            return;
        }
        if let Some(route) = self.direct_path(now, to, false) {
            self.counters.relayed += 1;
            self.emit(now, route, bytes);
            if let Some(source) = source {
                self.introduce_if_due(now, source, to);
            }
            return;
        }
        let Some((upstream, route)) = self.relay_path(now, to) else {
            return;
        };
        if source == Some(upstream) {
            return;
        }
        self.counters.relayed += 1;
        self.emit(now, route, bytes);
        if let Some(source) = source {
            self.introduce_if_due(now, source, upstream);
        }
    }

    /// Tells two peers of each other, at most every 30 s per pair.
    pub(crate) fn introduce_if_due(&mut self, now: Instant, a: Address, b: Address) {
        let known = self.peers.contains_key(&a) && self.peers.contains_key(&b);
        if a != b && known && self.introductions.may_introduce(now, a, b) {
            self.introduce(now, a, b);
        }
    }

    fn introduce(&mut self, now: Instant, a: Address, b: Address) {
        let (Some(peer_a), Some(peer_b)) = (self.peers.get(&a), self.peers.get(&b)) else {
            return;
        };
        let best = |peer: &Peer, scope: IpScope, ipv4: bool| -> Option<PathKey> {
            let index = peer.best_path_where(now, &self.paths, |p| {
                p.key.remote.is_ipv4() == ipv4 && IpScope::of(p.key.remote.ip()) == scope
            })?;
            peer.paths.get(index).map(|p| p.key)
        };
        let common = SCOPES
            .iter()
            .flat_map(|scope| [(*scope, false), (*scope, true)])
            .find_map(|(scope, ipv4)| {
                Some((best(peer_a, scope, ipv4)?, best(peer_b, scope, ipv4)?))
            });
        let Some((path_a, path_b)) = common else {
            return;
        };
        let mut letters = [(a, path_a, b, path_b.remote), (b, path_b, a, path_a.remote)];
        if self.random_u64() & 1 == 1 {
            letters.reverse();
        }
        for (to, path, other, endpoint) in letters {
            self.send_rendezvous(now, to, path, other, endpoint);
        }
    }

    fn send_rendezvous(
        &mut self,
        now: Instant,
        to: Address,
        path: PathKey,
        peer: Address,
        endpoint: SocketAddr,
    ) {
        let mut payload = Vec::new();
        Rendezvous {
            flags: 0,
            peer,
            endpoint,
        }
        .encode(&mut payload);
        self.send_on_path(now, to, path, Verb::Rendezvous, &payload, false);
    }
}
