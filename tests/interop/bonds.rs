//! Bonds with an unmodified node over two links: they must stay up beyond the reference's trial of 15 s, after which a bond
//! whose peer does not report measurements falls apart (bonding specification, finding 9).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cli::lab::daemon::Daemon;
use cli::lab::topology::{Lab, LabConfig};
use cli::lab::traffic;
use serde_json::{Map, Value, json};
use tests::assertions::{assert_direct, assert_pings};
use tests::runner::{Place, Scenario};

use super::{PATIENCE, existing};

const LINKS: u8 = 2;
/// Well past the trial, and past several of the reference's QoS intervals.
const STANDING: Duration = Duration::from_secs(45);

pub(crate) fn scenarios(reference: Option<&Path>) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for policy in [
        "active-backup",
        "broadcast",
        "balance-rr",
        "balance-xor",
        "balance-aware",
    ] {
        for (name, ours) in [("alone", None), ("with_ours", Some(policy))] {
            let reference = reference.map(PathBuf::from);
            let name = format!(
                "bond_{}_of_the_reference_{name}_stays_up",
                policy.replace('-', "_")
            );
            scenarios.push(Scenario::new(name, move |place: &Place| {
                stays_up(place, existing(reference.as_deref())?, policy, ours)
            }));
        }
    }
    scenarios
}

/// What the reference understands: no second port, or every link counts twice.
fn settings(policy: Option<&str>) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("allowSecondaryPort".into(), json!(false));
    if let Some(policy) = policy {
        settings.insert("defaultBondingPolicy".into(), json!(policy));
    }
    settings
}

fn stays_up(
    place: &Place,
    reference: &Path,
    policy: &str,
    ours: Option<&str>,
) -> anyhow::Result<()> {
    let hawserd = || place.hawserd.clone();
    let mut lab = Lab::build(&LabConfig {
        links: LINKS,
        root: hawserd(),
        controller: hawserd(),
        members: vec![hawserd(), reference.to_owned()],
        folder: place.folder.clone(),
    })?;
    lab.members[0].renew(&place.hawserd, &settings(ours))?;
    lab.members[1].renew(reference, &settings(Some(policy)))?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    lab.create_network()?;
    let [first, second] = [lab.admit(0, PATIENCE)?, lab.admit(1, PATIENCE)?];
    assert_pings(&lab, 0, second)?;
    assert_pings(&lab, 1, first)?;
    assert_direct(&lab)?;
    let start = Instant::now();
    while start.elapsed() < STANDING {
        for (from, to) in [(0, second), (1, first)] {
            let host = lab.members[from].host();
            let pings = host.run(move || traffic::ping(to, 10, Duration::from_secs(2)))??;
            ensure!(!pings.round_trips.is_empty(), "{} lost {to}", host.name());
        }
    }
    let [ours_now, theirs_now] = [(0, 1), (1, 0)].map(|(from, to)| {
        let (from, to): (&Daemon, &Daemon) = (&lab.members[from], &lab.members[to]);
        links_of(from, to)
    });
    let (alive, total) = theirs_now?;
    ensure!(
        (alive, total) == (u64::from(LINKS), u64::from(LINKS)),
        "the reference's bond has {alive}/{total} links"
    );
    if ours.is_some() {
        let (alive, total) = ours_now?;
        ensure!(
            (alive, total) == (u64::from(LINKS), u64::from(LINKS)),
            "our bond has {alive}/{total} links"
        );
    }
    assert_pings(&lab, 0, second)?;
    lab.stop()?;
    Ok(())
}

/// Alive and all links of the bond that `daemon` has to `peer`.
fn links_of(daemon: &Daemon, peer: &Daemon) -> anyhow::Result<(u64, u64)> {
    let (status, bond) = daemon.get(&format!("/bond/show/{}", peer.address()))?;
    ensure!(
        status == 200,
        "{} shows no bond: {status} {bond}",
        daemon.host().name()
    );
    let count = |key: &str| {
        bond[key]
            .as_u64()
            .with_context(|| format!("no {key} in {bond}"))
    };
    Ok((count("numAliveLinks")?, count("numTotalLinks")?))
}
