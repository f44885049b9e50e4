//! The controller as a state machine: requests in, effects out.

use std::net::SocketAddr;

use protocol::credential::Revocation;
use protocol::verb::ErrorCode;
use protocol::{Address, Identity, NetworkId, PacketId, SecretIdentity};

use crate::store::Store;
use crate::{ControllerError, Metrics};

/// A member asks for its configuration (protocol specification 7.12).
#[derive(Clone, Debug)]
pub struct Request {
    /// The network that it asks for.
    pub network: NetworkId,
    /// Who asks: authenticated, the identity validated.
    pub member: Identity,
    /// The packet that the answer refers to.
    pub packet: PacketId,
    /// The metadata dictionary, encoded.
    pub metadata: Vec<u8>,
    /// Revision of the configuration that the member holds, 0 if none.
    pub have_revision: u64,
    /// Timestamp of the configuration that the member holds, 0 if none.
    pub have_timestamp: u64,
    /// Where the request came from; none for this node itself or if unknown.
    pub from: Option<SocketAddr>,
}

/// Something for the node to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send a configuration, in signed chunks.
    Config {
        /// The member.
        to: Address,
        /// The network.
        network: NetworkId,
        /// The request that this answers; none for a push.
        in_reply_to: Option<PacketId>,
        /// The configuration, an encoded dictionary without terminator.
        dictionary: Vec<u8>,
    },
    /// Answer a request with an error.
    Error {
        /// Who asked.
        to: Address,
        /// The network that it asked for.
        network: NetworkId,
        /// The request that this answers.
        in_reply_to: PacketId,
        /// Why there is no configuration.
        code: ErrorCode,
    },
    /// Send a revocation to members, in a NETWORK_CREDENTIALS packet.
    Revoke {
        /// The receivers.
        to: Vec<Address>,
        /// The revocation, signed.
        revocation: Revocation,
    },
    /// A member was found authorised by a request; for 180 s the node accepts its multicast announcements (protocol
    /// specification 7.10).
    Authorised {
        /// The network.
        network: NetworkId,
        /// The member.
        member: Address,
    },
}

/// The controller of all networks whose id begins with this node's address.
pub struct Controller {
    _store: Box<dyn Store>,
    _identity: SecretIdentity,
}

impl Controller {
    /// Loads all records. `seed` feeds the generator of network ids and random addresses.
    pub fn open(
        _store: Box<dyn Store>,
        _identity: SecretIdentity,
        _seed: [u8; 32],
    ) -> Result<Self, ControllerError> {
        todo!()
    }

    /// Handles a member's request at `now_ms`, milliseconds since the Unix epoch. Then call [`Controller::poll`].
    pub fn handle_request(&mut self, _now_ms: u64, _request: Request) {
        todo!()
    }

    /// The next thing to do, until none is left.
    pub fn poll(&mut self) -> Option<Effect> {
        todo!()
    }

    /// Numbers for the metrics page.
    pub fn metrics(&self) -> Metrics {
        todo!()
    }
}
