//! The real daemon in namespaces: every role is hawserd, devices and sockets are the kernel's.

mod adversity;
mod bad_input;
mod bond_commands;
mod bond_failures;
mod bond_mistakes;
mod bond_orders;
mod bond_settings;
mod bonding;
mod lifecycle;
mod local_conf;

use std::process::ExitCode;

use tests::runner::{self, Scenario};

fn main() -> ExitCode {
    let scenarios: Vec<Scenario> = lifecycle::scenarios()
        .into_iter()
        .chain(bad_input::scenarios())
        .chain(adversity::scenarios())
        .chain(local_conf::scenarios())
        .chain(bonding::scenarios())
        .chain(bond_mistakes::scenarios())
        .chain(bond_commands::scenarios())
        .chain(bond_orders::scenarios())
        .chain(bond_failures::scenarios())
        .chain(bond_settings::scenarios())
        .collect();
    runner::run(&scenarios, None)
}
