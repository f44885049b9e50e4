//! Which path carries what. Pure: policies turn path qualities into plans, workers follow plans.

pub mod bond;
pub mod command;
pub mod config;
mod evaluate;
pub mod event;
pub mod failover;
pub mod flow;
pub mod link_name;
mod member;
pub mod path;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod qos;
pub mod quality;
mod report;
mod rule;
pub mod status;

pub use bond::{Bond, DeliveryReport, LinkEvent, Output, PeerTraits};
pub use command::Command;
pub use config::{BasePolicy, BondSettings, ConfigProblem, PolicySettings, Severity};
pub use event::{BondEvent, EventKind};
pub use flow::{FlowId, HashPolicy, flow_hash, flow_id};
pub use path::{PathId, PathInfo};
pub use plan::{Cursor, PathIndex, Pick, Plan};
pub use qos::{QosLedger, QosSamples};
pub use status::{BondState, BondStatus, CapacitySource, PathStatus};
