//! Mixed with the reference implementation: `ZEROTIER_ONE=/path/to/zerotier-one cargo test -p tests --test interop -- --ignored`.

mod bond_commands;
mod bonds;
mod conformance;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::lab::topology::{Lab, LabConfig};
use cli::lab::traffic;
use tests::assertions::{assert_direct, assert_pings};
use tests::runner::{self, Place, Scenario};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let reference = std::env::var_os("ZEROTIER_ONE").map(PathBuf::from);
    let mut scenarios = Vec::new();
    for combination in 0..8_u8 {
        let kind = |bit: u8| {
            if combination & bit == 0 {
                "zerotier"
            } else {
                "hawser"
            }
        };
        let name = format!("root_{}_controller_{}_member_{}", kind(4), kind(2), kind(1));
        let reference = reference.clone();
        scenarios.push(Scenario::new(name, move |place: &Place| {
            let reference = existing(reference.as_deref())?;
            let pick = |bit: u8| {
                if combination & bit == 0 {
                    reference.to_owned()
                } else {
                    place.hawserd.clone()
                }
            };
            // Whatever the first member is, it talks to an unmodified node.
            mixed(place, pick(4), pick(2), [pick(1), reference.to_owned()])
        }));
    }
    scenarios.extend(bonds::scenarios(reference.as_deref()));
    scenarios.extend(bond_commands::scenarios(reference.as_deref()));
    scenarios.extend(conformance::scenarios(reference.as_deref()));
    let (theirs, ours) = (reference.clone(), reference);
    scenarios.push(Scenario::new(
        "member_home_is_taken_over_and_given_back",
        move |place| member_takeover(place, existing(theirs.as_deref())?),
    ));
    scenarios.push(Scenario::new(
        "controller_home_is_taken_over_and_given_back",
        move |place| controller_takeover(place, existing(ours.as_deref())?),
    ));
    runner::run(
        &scenarios,
        Some("needs ZEROTIER_ONE=/path/to/zerotier-one and --ignored"),
    )
}

fn existing(reference: Option<&Path>) -> anyhow::Result<&Path> {
    let path = reference.context("set ZEROTIER_ONE to the path of a zerotier-one 1.14.1")?;
    ensure!(
        path.is_file(),
        "ZEROTIER_ONE={} is not a file",
        path.display()
    );
    Ok(path)
}

fn start(
    place: &Place,
    root: PathBuf,
    controller: PathBuf,
    members: [PathBuf; 2],
) -> anyhow::Result<(Lab, [Ipv4Addr; 2])> {
    let mut lab = Lab::build(&LabConfig {
        links: 1,
        root,
        controller,
        members: members.into(),
        folder: place.folder.clone(),
    })?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    lab.create_network()?;
    let addresses = [lab.admit(0, PATIENCE)?, lab.admit(1, PATIENCE)?];
    Ok((lab, addresses))
}

fn mixed(
    place: &Place,
    root: PathBuf,
    controller: PathBuf,
    members: [PathBuf; 2],
) -> anyhow::Result<()> {
    let (mut lab, [first, second]) = start(place, root, controller, members)?;
    assert_pings(&lab, 0, second)?;
    assert_pings(&lab, 1, first)?;
    assert_direct(&lab)?;
    assert_reference_answers(&lab, place)?;
    for (client, server, address) in [(0, 1, second), (1, 0, first)] {
        let (client, server) = (lab.members[client].host(), lab.members[server].host());
        let result = traffic::measure(client, server, IpAddr::V4(address), 4, 10)?;
        println!(
            "{} to {address}: {:.0} Mbit/s",
            client.name(),
            result.megabits_per_second()
        );
        ensure!(
            result.longest_stall < Duration::from_secs(1),
            "four streams to {address} stalled for {:?}",
            result.longest_stall
        );
    }
    lab.stop()?;
    Ok(())
}

/// Unmodified nodes answer our HELLO, which says what we can do behind its last field: only OK(HELLO) gives a latency.
fn assert_reference_answers(lab: &Lab, place: &Place) -> anyhow::Result<()> {
    let all = || lab.members.iter().chain([&lab.root, &lab.controller]);
    for ours in all().filter(|daemon| daemon.program() == place.hawserd) {
        for theirs in all().filter(|daemon| daemon.program() != place.hawserd) {
            let (_, peer) = ours.get(&format!("/peer/{}", theirs.address()))?;
            ensure!(
                peer["latency"].as_i64().is_some_and(|latency| latency >= 0)
                    && peer["version"] == "1.14.1",
                "{} got no answer of {}: {peer}",
                ours.host().name(),
                theirs.host().name()
            );
        }
    }
    Ok(())
}

/// What must survive a change of program: address, token, networks.
fn facts(lab: &Lab) -> anyhow::Result<(String, String, Vec<String>)> {
    let daemon = &lab.members[0];
    let (_, status) = daemon.get("/status")?;
    let token = std::fs::read_to_string(daemon.home().join("authtoken.secret"))?;
    let (_, networks) = daemon.get("/network")?;
    let networks = networks
        .as_array()
        .into_iter()
        .flatten()
        .map(|network| {
            format!(
                "{} {} {}",
                network["id"], network["mac"], network["portDeviceName"]
            )
        })
        .collect();
    Ok((status["address"].to_string(), token, networks))
}

fn member_takeover(place: &Place, reference: &Path) -> anyhow::Result<()> {
    let theirs = || reference.to_owned();
    let (mut lab, [first, second]) = start(place, theirs(), theirs(), [theirs(), theirs()])?;
    assert_pings(&lab, 0, second)?;
    let before = facts(&lab)?;
    for program in [&place.hawserd, reference] {
        lab.members[0].stop()?;
        lab.members[0].set_program(program);
        lab.members[0].start()?;
        ensure!(
            lab.wait_for_address(0, PATIENCE)? == first,
            "the managed address changed"
        );
        ensure!(
            facts(&lab)? == before,
            "{:?} became {:?}",
            before,
            facts(&lab)?
        );
        assert_pings(&lab, 0, second)?;
    }
    Ok(())
}

fn controller_takeover(place: &Place, reference: &Path) -> anyhow::Result<()> {
    let theirs = || reference.to_owned();
    let (mut lab, [first, second]) = start(place, theirs(), theirs(), [theirs(), theirs()])?;
    let path = format!(
        "/controller/network/{}",
        lab.network().context("no network")?
    );
    let member = format!("{path}/member/{}", lab.members[0].address());
    let before = (lab.controller.get(&path)?, lab.controller.get(&member)?);
    for program in [&place.hawserd, reference] {
        lab.controller.stop()?;
        lab.controller.set_program(program);
        lab.controller.start()?;
        let after = (lab.controller.get(&path)?, lab.controller.get(&member)?);
        ensure!(after == before, "{before:?} became {after:?}");
        lab.members[0].stop()?;
        lab.members[0].start()?;
        ensure!(
            lab.wait_for_address(0, PATIENCE)? == first,
            "the managed address changed"
        );
        assert_pings(&lab, 0, second)?;
    }
    Ok(())
}
