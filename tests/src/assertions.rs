//! What several end-to-end tests demand of a lab.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::ensure;
use cli::lab::topology::Lab;
use cli::lab::traffic;

/// How long a pair may take to find a direct path.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every one of ten pings must be answered, after a first one that may take its time.
pub fn assert_pings(lab: &Lab, from: usize, to: Ipv4Addr) -> anyhow::Result<()> {
    let host = lab.members[from].host();
    let first = host.run(move || traffic::ping(to, 20, Duration::from_secs(1)))??;
    ensure!(
        !first.round_trips.is_empty(),
        "{} gets no answer from {to}",
        host.name()
    );
    let steady = host.run(move || traffic::ping(to, 10, Duration::from_secs(1)))??;
    ensure!(
        steady.round_trips.len() == 10,
        "{} of 10 pings from {} to {to} were answered",
        steady.round_trips.len(),
        host.name()
    );
    Ok(())
}

/// The first two members find direct paths to each other, both ways.
pub fn assert_direct(lab: &Lab) -> anyhow::Result<()> {
    for (from, to) in [(0, 1), (1, 0)] {
        let (from, to) = (&lab.members[from], &lab.members[to]);
        ensure!(
            lab.wait_for_direct_path(from, to.address(), PATIENCE)?,
            "{} has no direct path to {}",
            from.host().name(),
            to.host().name()
        );
    }
    Ok(())
}
