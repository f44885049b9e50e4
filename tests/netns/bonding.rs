//! Bonding as an operator has it: settings that are edited while traffic flows, orders, events, carrier.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::lab::stream::{Pace, Stream};
use cli::lab::topology::{Lab, until};
use cli::lab::{links, traffic};
use serde_json::{Value, json};
use tests::bond_bench::recovered;
use tests::runner::{Place, Scenario};

const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "bonding_settings_are_reloaded_while_traffic_flows",
            reloaded,
        ),
        Scenario::new(
            "a_bonding_mistake_at_the_start_means_no_bonding",
            mistake_at_start,
        ),
    ]
}

fn build(place: &Place) -> anyhow::Result<Lab> {
    let mut lab = place.lab(2, 2)?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    Ok(lab)
}

fn edit(lab: &Lab, settings: &Value) -> anyhow::Result<()> {
    let mut all = json!({"portMappingEnabled": false, "allowTcpFallbackRelay": false});
    if let (Some(all), Some(settings)) = (all.as_object_mut(), settings.as_object()) {
        all.extend(settings.clone());
    }
    // Both ends: one that does not bond sticks to a path for long after it fails.
    for member in &lab.members {
        let path = member.home().join("local.conf");
        std::fs::write(path, json!({ "settings": all }).to_string())?;
    }
    Ok(())
}

/// Waits until what `hawser` prints contains `part`.
fn wait_for(lab: &Lab, place: &Place, words: &[&str], part: &str) -> anyhow::Result<String> {
    let mut last = String::new();
    until(PATIENCE, || {
        last = lab.members[0].cli(&place.hawser, words)?;
        Ok(last.contains(part).then_some(()))
    })?
    .with_context(|| {
        let log = lab.members[0].log();
        format!("{words:?} never says {part:?} but {last}\n{log}")
    })?;
    Ok(last)
}

fn reloaded(place: &Place) -> anyhow::Result<()> {
    let mut lab = build(place)?;
    lab.create_network()?;
    let addresses = [lab.admit(0, PATIENCE)?, lab.admit(1, PATIENCE)?];
    let to = addresses[1];
    let peer = lab.members[1].address().to_string();
    let first = lab.members[0]
        .host()
        .run(move || traffic::ping(to, 20, Duration::from_secs(1)))??;
    ensure!(!first.round_trips.is_empty(), "no answer at all");

    // Bonding comes while pings flow, and none of them is lost.
    let pings = lab.members[0]
        .host()
        .spawn(move || traffic::ping(to, 1500, Duration::from_secs(1)))?;
    let policy = json!({"basePolicy": "active-backup", "failoverInterval": 500,
        "links": {"eth0": {"mode": "primary"}, "eth1": {"mode": "spare"}, "eth9": {"mode": "spare"}}});
    edit(
        &lab,
        &json!({"defaultBondingPolicy": "office", "policies": {"office": policy}}),
    )?;
    wait_for(&lab, place, &["bond", "list"], "active-backup")?;
    let list = wait_for(&lab, place, &["bond", "list"], "2/2")?;
    ensure!(list.contains("Link eth9 is not there yet"), "{list}");
    let pings = pings.join().ok().context("pings died")??;
    ensure!(
        pings.round_trips.len() == pings.sent as usize,
        "{} of {} pings were answered",
        pings.round_trips.len(),
        pings.sent
    );

    let shown = wait_for(&lab, place, &["bond", &peer, "show"], "LINK QUALITY")?;
    ensure!(
        shown.contains("office") && shown.contains("* eth0"),
        "{shown}"
    );
    let classic = lab.members[0].cli(&place.hawser, &["--classic", "show", "bond", &peer])?;
    ensure!(
        classic.contains("Failover Interval (ms) : 500"),
        "{classic}"
    );
    let rotated = lab.members[0].cli(&place.hawser, &["bond", &peer, "rotate", "eth1"])?;
    ensure!(rotated.contains("eth1"), "{rotated}");
    let again = lab.members[0].cli(&place.hawser, &["bond", &peer, "rotate", "eth0"])?;
    ensure!(again.contains("eth0"), "{again}");
    let set = lab.members[0].cli(&place.hawser, &["bond", &peer, "set", "upDelay", "5"])?;
    ensure!(set == "upDelay is now 5, was the default\n", "{set}");

    // A mistake is named, and the bond goes on as it was.
    edit(
        &lab,
        &json!({"defaultBondingPolicy": "offfice", "policies": {"office": policy}}),
    )?;
    let list = wait_for(
        &lab,
        place,
        &["bond", "list"],
        "there is no policy \"offfice\"",
    )?;
    ensure!(
        list.contains("active-backup") && list.contains("2/2"),
        "{list}"
    );

    // Both are bonded by now, or soon.
    let other = &lab.members[1];
    let ours = lab.members[0].address().to_string();
    until(PATIENCE, || {
        Ok((other.get(&format!("/bond/{ours}"))?.0 == 200).then_some(()))
    })?
    .context("the other member has no bond")?;

    // Lost carrier moves this end at once, and the other one after a failover interval per direction: without bonding this
    // takes tens of seconds.
    let [near, far] = [&lab.members[0], &lab.members[1]].map(|member| member.host());
    let [here, there] = addresses.map(IpAddr::V4);
    let stream = Stream::start(Pace::default(), [(near, here), (far, there)])?;
    std::thread::sleep(Duration::from_secs(1));
    let at = stream.elapsed();
    near.run(|| links::set_down("eth0"))??;
    std::thread::sleep(Duration::from_secs(4));
    recovered(stream, at, Duration::from_millis(1500))?;
    let events = lab.members[0].cli(&place.hawser, &["bond", "events"])?;
    for part in ["has been switched from", "config", "there is no policy"] {
        ensure!(events.contains(part), "no {part:?} in {events}");
    }
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}

fn mistake_at_start(place: &Place) -> anyhow::Result<()> {
    let mut lab = build(place)?;
    lab.members[0].stop()?;
    edit(
        &lab,
        &json!({"defaultBondingPolicy": "foo", "policies": {"q": {"basePolicy": "balance-rr"}}}),
    )?;
    lab.members[0].start()?;
    let list = wait_for(&lab, place, &["bond", "list"], "There are no bonds.")?;
    let line = "error: settings.defaultBondingPolicy: there is no policy \"foo\"";
    ensure!(list.contains(line), "{list}");
    let log = lab.members[0].log();
    ensure!(
        log.contains(line) && log.contains("there is no bonding"),
        "{log}"
    );
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}
