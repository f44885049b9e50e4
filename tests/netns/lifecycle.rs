//! Joining, talking, and what happens when a role goes away and comes back.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::lab::topology::Lab;
use cli::lab::traffic;
use tests::assertions::{assert_direct, assert_pings};
use tests::runner::{Place, Scenario};

const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("join_ping_and_direct_path", join_ping_and_direct_path),
        Scenario::new("large_transfer_arrives_unaltered", large_transfer),
        Scenario::new(
            "unauthorised_member_gets_nothing",
            unauthorised_member_gets_nothing,
        ),
        Scenario::new("member_restarts", |place| restart(place, Role::Member)),
        Scenario::new("controller_restarts", |place| {
            restart(place, Role::Controller)
        }),
        Scenario::new("root_restarts", |place| restart(place, Role::Root)),
        Scenario::new("members_talk_on_while_the_root_is_down", root_down),
        Scenario::new("leave_removes_device_and_files", leave),
        Scenario::new("two_links", two_links),
        Scenario::new("metrics_count_all_traffic", metrics_count_all_traffic),
    ]
}

enum Role {
    Root,
    Controller,
    Member,
}

/// A lab with two members that have joined; their addresses.
fn joined(place: &Place, links: u8) -> anyhow::Result<(Lab, [Ipv4Addr; 2])> {
    let mut lab = place.lab(links, 2)?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    lab.create_network()?;
    let addresses = [lab.admit(0, PATIENCE)?, lab.admit(1, PATIENCE)?];
    Ok((lab, addresses))
}

fn assert_clean_stop(mut lab: Lab) -> anyhow::Result<()> {
    let complaints = lab.stop()?;
    ensure!(complaints.is_empty(), "{}", complaints.join("; "));
    Ok(())
}

fn join_ping_and_direct_path(place: &Place) -> anyhow::Result<()> {
    let (lab, [first, second]) = joined(place, 1)?;
    assert_pings(&lab, 0, second)?;
    assert_pings(&lab, 1, first)?;
    assert_direct(&lab)?;
    let info = lab.members[0].cli(&place.hawser, &["info"])?;
    ensure!(
        info == format!("200 info {} 1.14.1 ONLINE\n", lab.members[0].address()),
        "info prints {info:?}"
    );
    assert_clean_stop(lab)
}

fn large_transfer(place: &Place) -> anyhow::Result<()> {
    let (lab, [first, second]) = joined(place, 1)?;
    assert_pings(&lab, 0, second)?;
    let (a, b) = (lab.members[0].host(), lab.members[1].host());
    traffic::transfer(a, b, IpAddr::V4(second), 64 << 20).context("member1 to member2")?;
    traffic::transfer(b, a, IpAddr::V4(first), 64 << 20).context("member2 to member1")?;
    let result = traffic::measure(a, b, IpAddr::V4(second), 4, 3)?;
    ensure!(
        result.longest_stall < Duration::from_secs(1),
        "four streams stalled for {:?}",
        result.longest_stall
    );
    assert_clean_stop(lab)
}

fn unauthorised_member_gets_nothing(place: &Place) -> anyhow::Result<()> {
    let mut lab = place.lab(1, 2)?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    let network = lab.create_network()?;
    let address = lab.admit(0, PATIENCE)?;
    let outsider = &lab.members[1];
    outsider.post(&format!("/network/{network}"), &serde_json::json!({}))?;
    let denied = cli::lab::topology::until(PATIENCE, || {
        let (_, state) = outsider.get(&format!("/network/{network}"))?;
        Ok((state["status"] == "ACCESS_DENIED").then_some(state))
    })?
    .context("an unauthorised member never saw ACCESS_DENIED")?;
    ensure!(
        denied["assignedAddresses"] == serde_json::json!([]),
        "it was given {denied}"
    );
    let result = outsider
        .host()
        .run(move || traffic::ping(address, 2, Duration::from_secs(1)))?;
    // Without a route the kernel refuses to send at all; both are fine, an answer is not.
    ensure!(
        result.map_or(true, |r| r.round_trips.is_empty()),
        "an outsider was answered"
    );
    assert_clean_stop(lab)
}

fn restart(place: &Place, role: Role) -> anyhow::Result<()> {
    let (mut lab, [first, second]) = joined(place, 1)?;
    assert_pings(&lab, 0, second)?;
    let daemon = match role {
        Role::Root => &mut lab.root,
        Role::Controller => &mut lab.controller,
        Role::Member => &mut lab.members[0],
    };
    let status = daemon.stop()?.context("it was not running")?;
    ensure!(status.success(), "it ended with {status}");
    daemon.start()?;
    ensure!(
        lab.wait_for_address(0, PATIENCE)? == first,
        "the address changed"
    );
    assert_pings(&lab, 0, second)?;
    assert_pings(&lab, 1, first)?;
    assert_clean_stop(lab)
}

fn root_down(place: &Place) -> anyhow::Result<()> {
    let (mut lab, [first, second]) = joined(place, 1)?;
    assert_pings(&lab, 0, second)?;
    assert_direct(&lab)?;
    lab.root.kill()?;
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(4));
        assert_pings(&lab, 0, second)?;
        assert_pings(&lab, 1, first)?;
    }
    assert_clean_stop(lab)
}

fn leave(place: &Place) -> anyhow::Result<()> {
    let (lab, [_, second]) = joined(place, 1)?;
    assert_pings(&lab, 0, second)?;
    let network = lab.network().context("no network")?;
    let member = &lab.members[0];
    let (_, before) = member.get(&format!("/network/{network}"))?;
    let device = before["portDeviceName"]
        .as_str()
        .context("no device name")?
        .to_owned();
    let exists =
        move || std::path::Path::new(&format!("/proc/sys/net/ipv4/conf/{device}")).exists();
    ensure!(
        member.host().run(exists.clone())?,
        "the device was not there"
    );
    let (status, body) = member.delete(&format!("/network/{network}"))?;
    ensure!(
        (status, &body) == (200, &serde_json::json!({"result": true})),
        "{status} {body}"
    );
    ensure!(!member.host().run(exists)?, "the device is still there");
    let file = member.home().join(format!("networks.d/{network}.conf"));
    ensure!(!file.exists(), "{} is still there", file.display());
    assert_clean_stop(lab)
}

fn two_links(place: &Place) -> anyhow::Result<()> {
    let (lab, [_, second]) = joined(place, 2)?;
    assert_pings(&lab, 0, second)?;
    assert_direct(&lab)?;
    let path = format!("/peer/{}", lab.members[1].address());
    let both = cli::lab::topology::until(PATIENCE, || {
        let (_, peer) = lab.members[0].get(&path)?;
        let paths = peer["paths"].as_array().map_or(&[][..], Vec::as_slice);
        let on = |prefix: &str| {
            paths
                .iter()
                .any(|p| p["address"].as_str().is_some_and(|a| a.starts_with(prefix)))
        };
        Ok((on("10.77.0.") && on("10.77.1.")).then_some(()))
    })?;
    ensure!(both.is_some(), "only one of two links carries a path");
    assert_clean_stop(lab)
}

/// The value of the row of a metrics page that begins with `row`.
fn metric(page: &str, row: &str) -> anyhow::Result<u64> {
    let value = page.lines().find_map(|line| {
        let value = line.strip_prefix(row)?;
        value.trim().parse().ok()
    });
    value.with_context(|| format!("no row {row} in\n{page}"))
}

fn metrics_count_all_traffic(place: &Place) -> anyhow::Result<()> {
    const PINGS: u64 = 50;
    let (mut lab, [_, second]) = joined(place, 1)?;
    assert_pings(&lab, 0, second)?;
    let network = lab.network().context("no network")?;
    let peer = lab.members[1].address();
    let page = |lab: &Lab| -> anyhow::Result<String> {
        let (status, body) = lab.members[0].get("/metrics")?;
        ensure!(status == 200, "/metrics answers {status}");
        Ok(body.as_str().context("not text")?.to_owned())
    };
    let rows = |direction: &str| {
        [
            format!("zt_packet{{direction=\"{direction}\",packet_type=\"frame\"}}"),
            format!(
                "zt_network_packets{{accepted=\"yes\",direction=\"{direction}\",network_id=\"{network}\"}}"
            ),
            format!("zt_peer_packets{{direction=\"{direction}\",node_id=\"{peer}\"}}"),
        ]
    };
    let before = page(&lab)?;
    let host = lab.members[0].host();
    let done = host.run(move || traffic::ping(second, PINGS as u32, Duration::from_secs(1)))??;
    ensure!(done.round_trips.len() as u64 == PINGS, "pings were lost");
    let after = page(&lab)?;
    for row in rows("rx").iter().chain(&rows("tx")) {
        let grown = metric(&after, row)?.saturating_sub(metric(&before, row)?);
        // Beside the pings there are only a few packets of other kinds.
        ensure!(
            (PINGS..PINGS + 40).contains(&grown),
            "{row} grew by {grown} with {PINGS} pings"
        );
    }
    let latencies = format!("zt_peer_latency_count{{node_id=\"{peer}\"}}");
    cli::lab::topology::until(PATIENCE, || {
        let observed = page(&lab).and_then(|page| metric(&page, &latencies));
        let observed = observed.map_err(std::io::Error::other)?;
        Ok((observed > 0).then_some(()))
    })?
    .context("no latency was observed at any ping check")?;
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    let file = std::fs::read_to_string(lab.members[0].home().join("metrics.prom"))?;
    for row in rows("rx").iter().chain(&rows("tx")) {
        ensure!(
            metric(&file, row)? >= metric(&after, row)?,
            "metrics.prom was not written at the end: {row}"
        );
    }
    Ok(())
}
