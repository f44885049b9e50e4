//! What evaluation says of a frame.

use protocol::Address;

/// What to do with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing.
    Drop,
    /// Let it pass.
    Accept,
    /// Inbound only: let it pass without checks of MAC addresses.
    SuperAccept,
    /// Send it to this node instead.
    Redirect(Address),
}

/// A copy to send to an observer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyTo {
    /// The observer.
    pub target: Address,
    /// Bytes of the payload to send, already limited to the frame's length.
    pub length: usize,
    /// WATCH: ask for an acknowledgement.
    pub watch: bool,
}

/// The outcome of evaluation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The frame's fate.
    pub action: Action,
    /// From the base rules.
    pub base_copy: Option<CopyTo>,
    /// From a capability.
    pub capability_copy: Option<CopyTo>,
    /// No rule on the way read anything that varies within a flow (see [`super::Decision::cacheable`]), and no copy is
    /// due: the verdict may be remembered.
    pub cacheable: bool,
}

/// How one rule set ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleSetResult {
    /// No action decided, or BREAK.
    NoMatch,
    /// DROP.
    Drop,
    /// REDIRECT to this node.
    Redirect(Address),
    /// ACCEPT or PRIORITY.
    Accept,
    /// Accepted because this node is the target of a TEE, WATCH or REDIRECT: inbound only.
    SuperAccept,
}

/// The outcome of one rule set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// How it ended.
    pub result: RuleSetResult,
    /// What the last TEE or WATCH taken asked for; counts only if the frame is accepted.
    pub copy: Option<CopyTo>,
    /// Every later frame with the same MAC addresses, Ethertype, IP addresses, protocol and ports gets the same result.
    pub cacheable: bool,
}
