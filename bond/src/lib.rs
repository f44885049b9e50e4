//! Which path carries what: multipath, called bonding. Pure: no socket, clock, thread or randomness of its own.
//!
//! A peer may be reached over several *paths*: pairs of a local and a remote address. Paths over the same local interface
//! form a *link*. A [`Bond`] watches the paths of one peer and decides, by the policy of its [`PolicySettings`], which of
//! them carry its packets. The decision is a [`Plan`], a small value that the workers of the data plane follow without
//! knowing why it is as it is: no policy runs per packet.
//!
//! ```text
//!  local.conf ──► config ──► PolicySettings
//!                                 │
//!  packets, probes, reports,      ▼            member ──► View ──► policy ──► Plan ──► workers
//!  carrier, operator ─────────► Bond ──────► (one path:                       │
//!                                 │           rule, life, quality, probes)    └── pick, per packet
//!                                 └──► probes to send, events, status
//! ```
//!
//! # Driving a bond
//!
//! ```
//! # use bond::{Bond, Output, PeerTraits, PolicySettings, BasePolicy};
//! # use protocol::{Address, Instant};
//! # let now = Instant::from_millis(1000);
//! # let settings = std::sync::Arc::new(PolicySettings::standard(BasePolicy::BalanceAware));
//! # let peer = Address::from_u64(0x16_a03a_3d03);
//! let mut bond = Bond::new(settings, peer, PeerTraits { is_stock: true, can_reorder: false }, now, 7);
//! // bond.add_path(…), bond.handle_received(…), … and after each of them:
//! let wake_at = loop {
//!     match bond.poll(now) {
//!         Output::Timeout(at) => break at,
//!         Output::PlanChanged(_plan) => { /* publish it to the workers: plan.map(|id| index) */ }
//!         Output::Probe(_path) => { /* send an ECHO there, then bond.handle_probe_sent(path, packet_id, now) */ }
//!         Output::Report => { /* tell the peer what arrived from it */ }
//!         Output::Event(_event) => { /* tell the operator */ }
//!     }
//! };
//! # assert!(wake_at > now);
//! ```
//!
//! # When a path works
//!
//! A path works if both directions are proven by *authentic* packets. That something arrives proves one direction only; the
//! other needs an answer to a probe, or the peer's report on what it received (`failover`). Probes follow need (`probe`): none
//! while traffic proves the path, a quarter of the failover interval apart while traffic might use it, faster under load and
//! in doubt, ever rarer when idle. A path that fails again and again must work for a while before it is used again.
//!
//! # How flows are kept in order
//!
//! Balancing by flow hashes each frame into one of 1024 slots, and each slot names a path (`policy::slots`). Slots move for a
//! cause only: their path failed, the target shares changed, or load is uneven; and then as few as possible.
//!
//! # Where things are
//!
//! [`config`] reads settings · [`bond`] is the bond's verbs, `roster` its paths, `evaluate` and `idle` its decision ·
//! `member`, `rule`, [`failover`], `watch`, `judgement`, [`suspicion`], [`quality`], `loss`, `capacity` with `felt_queue` and
//! `doubt`, [`probe`], [`probe_interval`] make up one path, `supervise` compares them · [`policy`] holds the policies ·
//! [`plan`] and [`flow`] are what workers run · [`qos`] and [`sampling`] measure with stock peers, bonded or not ·
//! [`command`], [`event`], `tell`, [`status`] face the operator. Keys and their meaning are in `docs/bonding.md`.

mod account;
pub mod attributes;
pub mod bond;
mod capacity;
pub mod command;
pub mod config;
mod departures;
mod doubt;
mod evaluate;
pub mod event;
mod event_json;
pub mod failover;
mod felt_queue;
pub mod flow;
mod idle;
mod judgement;
pub mod link_name;
mod loss;
mod member;
mod overload;
mod packed;
pub mod path;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod probe_interval;
pub mod punishment;
pub mod qos;
pub mod quality;
mod rehearsal;
mod report;
mod roster;
mod rule;
pub mod sampling;
pub mod status;
mod supervise;
pub mod suspicion;
mod tell;
mod watch;
mod windows;

pub use account::{Account, PathAccount};
pub use attributes::LinkAttributes;
pub use bond::{Bond, DeliveryReport, LinkEvent, Output, PeerTraits};
pub use command::Command;
pub use config::{BasePolicy, BondSettings, ConfigProblem, PolicySettings, Severity};
pub use event::{BondEvent, EventKind};
pub use flow::{FlowId, HashPolicy, flow_hash, flow_id};
pub use path::{PathId, PathInfo};
pub use plan::{Cursor, PathIndex, Pick, Plan};
pub use qos::{QosLedger, QosSamples};
pub use rehearsal::Rehearsal;
pub use roster::MAX_PATHS;
pub use sampling::Sampling;
pub use status::{BondState, BondStatus, CapacitySource, PathStatus};
