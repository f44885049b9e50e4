//! The real daemon in namespaces: every role is hawserd, devices and sockets are the kernel's.
//!
//! Scenarios that judge bonds by every packet of a stream need a machine with nothing else to do: they run with
//! `HAWSER_BOND_TRAFFIC=1`.

mod adversity;
mod bad_input;
mod bond_commands;
mod bond_failures;
mod bond_mistakes;
mod bond_settings;
mod bonding;
mod lifecycle;
mod local_conf;

use std::process::ExitCode;

use tests::runner::{self, Scenario};

fn main() -> ExitCode {
    let mut scenarios: Vec<Scenario> = lifecycle::scenarios()
        .into_iter()
        .chain(bad_input::scenarios())
        .chain(adversity::scenarios())
        .chain(local_conf::scenarios())
        .chain(bonding::scenarios())
        .chain(bond_mistakes::scenarios())
        .collect();
    // A scenario runs in a process of its own, which has the same environment.
    if std::env::var_os("HAWSER_BOND_TRAFFIC").is_some() {
        scenarios.extend(bond_commands::scenarios());
        scenarios.extend(bond_failures::scenarios());
        scenarios.extend(bond_settings::scenarios());
    }
    runner::run(&scenarios, None)
}
