//! Bytes and values of the ZeroTier V1 protocol as 1.14.1 speaks it.
//!
//! Everything here is pure: no sockets, no clock, no threads, no randomness of its own. Time and random bytes are
//! arguments. What a node *does* with these values lives in the `node` crate.

pub mod address;
pub mod controller;
pub mod credential;
pub mod crypto;
pub mod dictionary;
pub mod endpoint;
pub mod error;
pub mod identity;
pub mod managed_address;
pub mod network_config;
pub mod packet;
pub mod reader;
pub mod rule;
pub mod time;
pub mod verb;
pub mod world;

pub use address::{Address, MacAddress, MulticastGroup, NetworkId};
pub use endpoint::{IpPrefix, IpScope};
pub use error::DecodeError;
pub use identity::{Identity, SecretIdentity, SharedKey, Signature};
pub use packet::{PacketId, SessionKeys, Suite};
pub use reader::Reader;
pub use time::{Instant, WallClock};
pub use verb::Verb;

/// Protocol version announced in HELLO and OK(HELLO).
pub const PROTOCOL_VERSION: u8 = 12;
/// Software version announced to peers, and printed by `-v`: the version that this program stands in for.
pub const SOFTWARE_VERSION: (u8, u8, u16) = (1, 14, 1);
