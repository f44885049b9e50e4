//! [`Node`]: `handle` in, `poll` out.

use protocol::world::World;
use protocol::{Instant, SecretIdentity, WallClock};

use crate::io::{Input, Output};
use crate::network::Networks;
use crate::status::{NetworkStatus, NodeStatus, PeerStatus};
use crate::transport::Transport;

/// A node's whole control state.
pub struct Node {
    _transport: Transport,
    _networks: Networks,
}

impl Node {
    /// A node with no links and no networks. `planet` is what the home directory held, or the default. `seed` feeds all
    /// randomness.
    pub fn new(
        _identity: SecretIdentity,
        _planet: World,
        _seed: [u8; 32],
        _now: Instant,
        _wall: WallClock,
    ) -> Self {
        todo!()
    }

    /// Takes an input that happened at `now`. Time never goes backwards.
    pub fn handle(&mut self, _now: Instant, _input: Input<'_>) {
        todo!()
    }

    /// The next thing to do; [`Output::Timeout`] when there is nothing more.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        todo!()
    }

    /// For the API.
    pub fn status(&self) -> NodeStatus {
        todo!()
    }

    /// For the API, by address.
    pub fn peers(&self, _now: Instant) -> Vec<PeerStatus> {
        todo!()
    }

    /// For the API, by id.
    pub fn networks(&self, _now: Instant) -> Vec<NetworkStatus> {
        todo!()
    }

    /// Moons held, by id.
    pub fn moons(&self) -> Vec<World> {
        todo!()
    }

    /// Peers that should be written to the cache at an orderly stop: address and file content.
    pub fn peer_cache(&self) -> Vec<(protocol::Address, Vec<u8>)> {
        todo!()
    }
}
