//! Orders whose answer says less than what they do: which link is next, which one carries nothing, and for how long.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use tests::bond_bench::{Bench, nothing_lost, patient};
use tests::runner::{Place, Scenario};

/// Longer than a measurement of shares takes, twice.
const UP_DELAY: Duration = Duration::from_secs(6);
/// A link that need not wait is back within this, even on a busy machine.
const SOON: Duration = Duration::from_secs(3);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "bond_rotate_goes_to_the_head_of_the_failover_queue",
            rotated_in_turn,
        ),
        Scenario::new("bond_disable_leaves_all_traffic_to_one_link", disabled),
        Scenario::new(
            "bond_link_nominate_keeps_a_link_out_until_it_is_proven",
            nominated,
        ),
        Scenario::new(
            "bond_set_up_delay_holds_back_a_link_that_returns",
            held_back,
        ),
        Scenario::new("bond_link_reset_takes_back_a_punished_link", pardoned),
        Scenario::new(
            "bond_set_failover_interval_changes_how_often_links_are_asked",
            asked,
        ),
    ]
}

/// Every link carries its part, whatever is felt on a busy machine: balance-rr leaves out what it takes for narrow, unless it was
/// told how much fits.
fn balanced() -> Value {
    let mut settings = patient("balance-rr");
    settings["balance-rr"]["links"] = json!({"*": {"mode": "primary", "speed": "1Gbit"}});
    settings
}

/// The path on a link, as the API shows it.
fn path<'a>(bond: &'a Value, link: &str) -> &'a Value {
    let mut paths = bond["paths"].as_array().into_iter().flatten();
    let found = paths.find(|path| path["ifname"] == link);
    found.unwrap_or(&Value::Null)
}

/// Does what brings a link back, and waits until it is part of what carries traffic; that takes as long as `expected`.
fn comes_back(
    bench: &Bench<'_>,
    link: &str,
    expected: Range<Duration>,
    cause: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    cause()?;
    bench.wait_for_bond(&format!("on {link}"), |bond| {
        path(bond, link)["bonded"] == 1
    })?;
    let took = start.elapsed();
    ensure!(expected.contains(&took), "{link} is back after {took:?}");
    Ok(())
}

/// While a stream flows: the only link that carries it. It gets some time for that.
fn carried_alone(bench: &Bench<'_>) -> anyhow::Result<u8> {
    let mut shares = Vec::new();
    for _ in 0..8 {
        shares = bench.shares()?;
        let mut links = (0..).zip(&shares);
        if let Some((link, _)) = links.find(|(_, share)| **share >= 0.95) {
            return Ok(link);
        }
    }
    anyhow::bail!("shares of the links are {shares:.2?}, but one link should carry all")
}

/// The operator's order is not that of the links.
fn rotated_in_turn(place: &Place) -> anyhow::Result<()> {
    let settings = json!({"defaultBondingPolicy": "office", "policies": {"office": {
        "basePolicy": "active-backup", "downDelay": 3000, "linkQuality": {"plr_max": 1.0},
        "links": {"eth0": {"mode": "primary", "failoverTo": "eth2"}, "eth1": {"mode": "spare"},
            "eth2": {"mode": "spare", "failoverTo": "eth3"}, "eth3": {"mode": "spare", "failoverTo": "eth1"}}}}});
    let bench = Bench::start(place, 4, &settings)?;
    let stream = bench.stream()?;
    bench.carry(&[0])?;
    for next in [2, 3, 1] {
        let head = format!("eth{next}/");
        bench.wait_for_bond(&format!("ready for {head}"), |bond| {
            let queue = bond["failoverQueue"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let first = queue.first().and_then(Value::as_str).unwrap_or_default();
            queue.len() == 3 && first.starts_with(&head)
        })?;
        let said = bench.ok(&["bond", &bench.peer, "rotate"])?;
        ensure!(said.contains(&head), "{said}");
        ensure!(bench.active()? == format!("eth{next}"), "{said}");
        bench.carry(&[next])?;
    }
    nothing_lost(stream)?;
    bench.finish()
}

fn disabled(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &balanced())?;
    let peer = bench.peer.as_str();
    let stream = bench.stream()?;
    bench.carry(&[0, 1])?;
    bench.ok(&["bond", peer, "disable"])?;
    let link = carried_alone(&bench)?;
    bench.carry(&[link])?;
    bench.ok(&["bond", peer, "enable"])?;
    bench.carry(&[0, 1])?;
    nothing_lost(stream)?;
    bench.finish()
}

/// A trial takes a round trip, which is too short to be seen here; the up delay follows it, as after a failure.
fn nominated(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 3, &balanced())?;
    let peer = bench.peer.as_str();
    let stream = bench.stream()?;
    let delay = UP_DELAY.as_millis().to_string();
    bench.ok(&["bond", peer, "set", "upDelay", &delay])?;
    // Who works already does not wait.
    bench.carry(&[0, 1, 2])?;
    comes_back(&bench, "eth1", UP_DELAY..2 * UP_DELAY, || {
        bench.ok(&["bond", peer, "link", "nominate", "eth1"])?;
        bench.carry(&[0, 2])
    })?;
    bench.carry(&[0, 1, 2])?;
    bench.ok(&["bond", peer, "set", "upDelay", "0"])?;
    comes_back(&bench, "eth2", Duration::ZERO..SOON, || {
        bench.ok(&["bond", peer, "link", "nominate", "eth2"])?;
        Ok(())
    })?;
    bench.carry(&[0, 1, 2])?;
    nothing_lost(stream)?;
    bench.finish()
}

fn held_back(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &balanced())?;
    let stream = bench.stream()?;
    bench.carry(&[0, 1])?;
    for (delay, expected) in [
        (Duration::ZERO, Duration::ZERO..SOON),
        (UP_DELAY, UP_DELAY..2 * UP_DELAY),
    ] {
        let delay = delay.as_millis().to_string();
        bench.ok(&["bond", &bench.peer, "set", "upDelay", &delay])?;
        bench.lab.set_carrier(0, 1, false)?;
        bench.carry(&[0])?;
        comes_back(&bench, "eth1", expected, || {
            Ok(bench.lab.set_carrier(0, 1, true)?)
        })?;
        bench.carry(&[0, 1])?;
    }
    drop(stream);
    bench.finish()
}

fn pardoned(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &balanced())?;
    let peer = bench.peer.as_str();
    let stream = bench.stream()?;
    bench.carry(&[0, 1])?;
    // Each failure comes before the one before it is worked off: the punishment grows to most of a minute.
    for _ in 0..4 {
        for up in [false, true] {
            bench.lab.set_carrier(0, 1, up)?;
            bench.wait_for_bond(&format!("with carrier: {up}"), |bond| {
                (path(bond, "eth1")["active"] == true) == up
            })?;
        }
    }
    let bond = bench.bond()?;
    ensure!(path(&bond, "eth1")["condition"] == "punished", "{bond:#}");
    bench.carry(&[0])?;
    comes_back(&bench, "eth1", Duration::ZERO..SOON, || {
        bench.ok(&["bond", peer, "link", "reset", "eth1"])?;
        Ok(())
    })?;
    bench.carry(&[0, 1])?;
    drop(stream);
    bench.finish()
}

/// Without traffic there is little but questions: 130 ms or 6.5 s apart, of 70 bytes with all headers.
fn asked(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &balanced())?;
    let peer = bench.peer.as_str();
    bench.ok(&["bond", peer, "set", "monitorStrategy", "active"])?;
    let mut counted = Vec::new();
    for interval in ["10000", "200", "10000"] {
        bench.ok(&["bond", peer, "set", "failoverInterval", interval])?;
        std::thread::sleep(Duration::from_secs(2));
        let before: u64 = bench.sent()?.iter().sum();
        std::thread::sleep(Duration::from_secs(5));
        counted.push(bench.sent()?.iter().sum::<u64>() - before);
    }
    // Some 38 questions on each of two links. What goes out besides becomes less with time.
    let usual = counted[0].max(counted[2]);
    ensure!(
        counted[1] > usual + 2500,
        "bytes in 5 s with 10 s, 0.2 s and 10 s: {counted:?}"
    );
    bench.finish()
}
