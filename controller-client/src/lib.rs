//! Talking to a controller: what a node sends to ask for its configuration and how the signed pieces of the answer
//! become a configuration again ([`request`], [`assembly`]), and how a controller cuts and signs one ([`sign`]).
//!
//! Everything is pure: no sockets, no clock.

pub mod assembly;
pub mod request;
pub mod sign;

pub use assembly::{Assembly, AssemblyError, Progress};
pub use request::{config_request, platform};
pub use sign::sign_chunks;
