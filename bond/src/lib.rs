//! Which path carries what. Pure: policies turn path qualities into plans, workers follow plans.
//!
//! Today there is one policy, `none`: the best path carries everything (protocol specification 8.5). The other policies
//! produce other [`Plan`]s; workers already follow all of them.

pub mod flow;
pub mod plan;

pub use flow::{FlowId, flow_hash, flow_id};
pub use plan::{Cursor, PathIndex, Pick, Plan};
