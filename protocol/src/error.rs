//! Why bytes could not be read. Small and `Copy`: hostile input is counted, not formatted.

/// A decoding failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The input ends before the named field does.
    #[error("input ends inside {0}")]
    Truncated(&'static str),
    /// The named field holds a value that is not allowed.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// The named field exceeds its limit.
    #[error("{0} exceeds its limit")]
    TooLarge(&'static str),
}
