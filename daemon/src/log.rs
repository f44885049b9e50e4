//! Log lines to stderr; `HAWSER_LOG` sets the levels.

use tracing_subscriber::EnvFilter;

/// Environment variable with the filter, for example `info` or `daemon=debug,node=trace`.
pub const FILTER_VARIABLE: &str = "HAWSER_LOG";

/// Sends log lines to stderr. A second call changes nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE)
        .unwrap_or_else(|_| EnvFilter::new("info,netlink_proto=warn,rtnetlink=warn"));
    let ignored = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init();
    drop(ignored); // an error means that a subscriber is there already
}
