//! The real daemon in namespaces: every role is hawserd, devices and sockets are the kernel's.

mod bad_input;
mod lifecycle;

use std::process::ExitCode;

use tests::runner::{self, Scenario};

fn main() -> ExitCode {
    let scenarios: Vec<Scenario> = lifecycle::scenarios()
        .into_iter()
        .chain(bad_input::scenarios())
        .collect();
    runner::run(&scenarios, None)
}
