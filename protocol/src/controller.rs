//! What passes between a node and the network controller that is embedded in it. To all others a controller speaks in packets.

use std::net::SocketAddr;

use crate::credential::Revocation;
use crate::verb::ErrorCode;
use crate::{Address, Identity, NetworkId, PacketId};

/// A member asks for its configuration (protocol specification 7.12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The network that it asks for.
    pub network: NetworkId,
    /// Who asks: authenticated, the identity validated.
    pub member: Identity,
    /// The packet that the answer refers to.
    pub packet: PacketId,
    /// The metadata dictionary, encoded.
    pub metadata: Vec<u8>,
    /// Revision of the configuration that the member holds, 0 if none. It gets a fresh one even if that is the current
    /// revision, as its credentials would become stale otherwise.
    pub have_revision: u64,
    /// Timestamp of the configuration that the member holds, 0 if none.
    pub have_timestamp: u64,
    /// Where the request came from; none for this node itself or if unknown.
    pub from: Option<SocketAddr>,
}

/// Something that the controller wants its node to do.
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
        revocation: Box<Revocation>,
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
