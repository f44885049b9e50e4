//! The control brain of a node: what 1.14.1 decides, without sockets, clocks, threads or ambient randomness.
//!
//! The law: *after each [`Node::handle`], call [`Node::poll`] until it returns [`Output::Timeout`].* The daemon's control
//! thread, the simulator and every test are that same loop:
//!
//! ```ignore
//! node.handle(now, input);
//! loop {
//!     match node.poll() {
//!         Output::Timeout(deadline) => break, // nothing more until then
//!         Output::Transmit(t) => socket.send(t),
//!         // …
//!     }
//! }
//! ```
//!
//! The node can do everything by itself, frames included. Data-plane workers take the common case off its hands: they
//! act on the [`snapshot::Snapshot`] that it publishes, and hand over whatever the snapshot has no answer for.

mod expected;
pub mod frame;
pub mod io;
pub mod lanes;
pub mod limits;
pub mod network;
pub mod node;
mod peer;
mod physical;
mod queue;
mod reassembly;
mod rendezvous;
mod roots;
pub mod rules;
pub mod snapshot;
pub mod status;
mod surface;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timers;
mod transport;
mod validation;
mod whois;

pub use io::{Command, Input, Output};
pub use node::Node;
