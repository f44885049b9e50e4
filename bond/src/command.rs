//! What an operator can tell a running bond. Nothing here outlives the bond unless the caller saves it.

use std::sync::Arc;

use crate::config::{LinkMode, PolicySettings};

/// An order.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// active-backup: use the next path of the queue, or that of the named interface.
    Rotate {
        /// Where to; `None` is the head of the queue.
        interface: Option<String>,
        /// Stay until something fails; otherwise for 60 s against the method of link selection.
        sticky: bool,
    },
    /// Follow another policy from now on; paths keep their measurements.
    SetPolicy(Arc<PolicySettings>),
    /// Allow a link that no rule names.
    LinkAdd {
        /// Interface name or pattern.
        interface: String,
        /// What for.
        mode: LinkMode,
    },
    /// Take a link out of the rules, and its paths out of the bond.
    LinkRemove(String),
    /// Let a link's paths begin anew with a trial.
    LinkNominate(String),
    /// Use a link again.
    LinkEnable(String),
    /// Do not use a link.
    LinkDisable(String),
    /// Forget a link's punishments.
    LinkReset(String),
}
