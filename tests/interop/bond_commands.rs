//! Orders to a bond whose other end is an unmodified node: they move what we send, and lose none of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use tests::bond_bench::{Bench, nothing_lost, patient};
use tests::runner::{Place, Scenario};

use super::existing;

pub(crate) fn scenarios(reference: Option<&Path>) -> Vec<Scenario> {
    let reference = reference.map(PathBuf::from);
    vec![Scenario::new(
        "bond_commands_move_traffic_to_the_reference",
        move |place: &Place| moved(place, existing(reference.as_deref())?),
    )]
}

fn moved(place: &Place, reference: &Path) -> anyhow::Result<()> {
    let settings = patient("active-backup");
    let mut bench = Bench::start_with(place, [&place.hawserd, reference], 2, &settings)?;
    let peer = bench.peer.clone();
    let peer = peer.as_str();
    let list = bench.ok(&["bond", "list"])?;
    ensure!(list.contains(peer) && list.contains("2/2"), "{list}");
    ensure!(
        bench.ok(&["bond", "test"])?.contains("traffic goes to"),
        "no heir"
    );
    let stream = bench.stream()?;
    std::thread::sleep(Duration::from_secs(1));
    for _ in 0..2 {
        let before = bench.active()?;
        bench.ok(&["bond", peer, "rotate"])?;
        let after = bench.active()?;
        ensure!(before != after, "{before}");
        bench.carry(&[after.trim_start_matches("eth").parse()?])?;
    }
    bench.ok(&["bond", peer, "set", "policy", "balance-rr"])?;
    bench.carry(&[0, 1])?;
    bench.ok(&["bond", peer, "link", "disable", "eth0"])?;
    bench.carry(&[1])?;
    bench.ok(&["bond", peer, "link", "enable", "eth0"])?;
    bench.carry(&[0, 1])?;
    bench.ok(&["bond", peer, "disable"])?;
    ensure!(
        bench.tool(&["bond", peer, "show"])?.code == 1,
        "there is a bond still"
    );
    bench.ok(&["bond", peer, "enable"])?;
    bench.wait_for_bond("two links", |bond| bond["numAliveLinks"] == 2)?;
    nothing_lost(stream)?;
    // How the reference ends is its own affair.
    let mut complaints = bench.lab.stop()?;
    complaints.retain(|complaint| !complaint.starts_with("member2 "));
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}
