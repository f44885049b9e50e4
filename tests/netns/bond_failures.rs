//! What a lost carrier, address, route or interface costs a stream, and how links come back.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::ensure;
use cli::lab::links;
use cli::lab::topology::{host_of_member, interface_name, underlay_address};
use serde_json::json;
use tests::bond_bench::{Bench, recovered};
use tests::runner::{Place, Scenario};

/// What the operating system announces is left at once. The other end notices by silence; it has a failover interval per
/// direction and the time of a loaded machine.
const ANNOUNCED: Duration = Duration::from_millis(1500);
/// Nothing is lost, and the machine may pause.
const HARMLESS: Duration = Duration::from_millis(500);
/// A black hole shows by silence alone.
const SILENT: Duration = Duration::from_millis(2500);

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for policy in ["active-backup", "balance-rr", "balance-xor"] {
        let name = policy.replace('-', "_");
        scenarios.push(Scenario::new(
            format!("bond_{name}_survives_carrier_address_route_black_hole_and_removal"),
            move |place: &Place| disturbed(place, policy),
        ));
    }
    scenarios
}

/// How a link fails and comes back.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Carrier,
    Address,
    /// Not one for sockets that are bound to an interface: without a route Linux takes the destination for a neighbour, as
    /// it is here.
    Route,
    BlackHole,
    /// The interface is pulled out, and another one of its name and address put in.
    Removal,
}

fn begin(bench: &Bench<'_>, failure: Failure, link: u8) -> anyhow::Result<()> {
    let host = bench.lab.members[0].host();
    let name = interface_name(link);
    let address = IpAddr::V4(underlay_address(link, host_of_member(0)));
    let own = underlay_address(link, host_of_member(0));
    match failure {
        Failure::Carrier => host.run(move || links::set_down(&name))??,
        Failure::Address => host.run(move || links::remove_address(&name, address))??,
        Failure::Route => host.run(move || links::remove_route(&name, own, 24))??,
        Failure::BlackHole => bench.lab.blackhole(0, link)?,
        Failure::Removal => bench.lab.unplug(0, link)?,
    }
    Ok(())
}

fn end(bench: &Bench<'_>, failure: Failure, link: u8) -> anyhow::Result<()> {
    let host = bench.lab.members[0].host();
    let name = interface_name(link);
    let address = IpAddr::V4(underlay_address(link, host_of_member(0)));
    let own = underlay_address(link, host_of_member(0));
    match failure {
        Failure::Carrier => host.run(move || links::set_up(&name))??,
        Failure::Address => host.run(move || links::add_address(&name, address, 24))??,
        Failure::Route => host.run(move || links::add_route(&name, own, 24))??,
        Failure::BlackHole => bench.lab.restore(0, link)?,
        Failure::Removal => bench.lab.plug_in(0, link)?,
    }
    Ok(())
}

fn disturbed(place: &Place, policy: &str) -> anyhow::Result<()> {
    let settings = json!({"defaultBondingPolicy": "p", "policies": {
        "p": {"basePolicy": policy, "failoverInterval": 500}}});
    let bench = Bench::start(place, 2, &settings)?;
    for (round, failure) in [
        Failure::Carrier,
        Failure::Address,
        Failure::Route,
        Failure::BlackHole,
        Failure::Removal,
    ]
    .into_iter()
    .enumerate()
    {
        // Nothing may be held against the links for what an earlier round did to them.
        for (member, other) in [(0, 1), (1, 0)] {
            let peer = bench.lab.members[other].address();
            for link in 0..bench.links {
                let path = format!("/bond/{peer}/link/{}", interface_name(link));
                let order = json!({"action": "reset"});
                let (status, answer) = bench.lab.members[member].post(&path, &order)?;
                ensure!(status == 200, "{path}: {answer}");
            }
        }
        let stream = bench.stream()?;
        std::thread::sleep(Duration::from_secs(1));
        let shares = bench.shares()?;
        let link = if shares[0] >= shares[1] { 0 } else { 1 };
        let at = stream.elapsed();
        begin(&bench, failure, link)?;
        let limit = match failure {
            Failure::BlackHole => SILENT,
            Failure::Carrier | Failure::Address | Failure::Removal => ANNOUNCED,
            Failure::Route => HARMLESS,
        };
        // An interface that is gone has no counters to compare; that the stream recovers says enough.
        if limit == HARMLESS || matches!(failure, Failure::Removal) {
            std::thread::sleep(Duration::from_secs(2));
        } else {
            bench.carry(&[1 - link])?;
        }
        let told = recovered(stream, at, limit);
        ensure!(
            told.is_ok(),
            "round {round}, {failure:?}: {told:?}\n{}",
            bench.lab.members[0].log()
        );
        let lost: u64 = told?.iter().map(|direction| direction.lost).sum();
        ensure!(limit != HARMLESS || lost == 0, "{failure:?}: {lost} lost");
        // Back again: both ends use the link as before, and nothing is lost over it.
        end(&bench, failure, link)?;
        bench.wait_for_links(2)?;
    }
    bench.finish()
}
