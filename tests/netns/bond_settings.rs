//! Bonding settings that change while traffic flows, links by hardware address, and packet sizes on the wire.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::lab::links;
use cli::lab::shaping;
use cli::lab::topology::{host_of_member, interface_name, underlay_address, until};
use serde_json::{Value, json};
use tests::bond_bench::{Bench, PATIENCE, nothing_lost, patient};
use tests::runner::{Place, Scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("bond_settings_change_without_losing_a_packet", reloaded),
        Scenario::new(
            "bond_links_are_named_by_hardware_address",
            by_hardware_address,
        ),
        Scenario::new("bond_data_caps_spare_a_link_also_after_a_restart", data_cap),
        Scenario::new("bond_packet_sizes_hold_on_the_wire", packet_sizes),
    ]
}

/// One link at work, which neither loss nor a short silence makes the bond leave.
fn office(active: &str, spare: &str) -> Value {
    json!({"defaultBondingPolicy": "office", "policies": {"office": {
        "basePolicy": "active-backup", "downDelay": 3000, "linkQuality": {"plr_max": 1.0},
        "links": {active: {"mode": "primary"}, spare: {"mode": "spare"}}}}})
}

fn reloaded(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &office("eth0", "eth1"))?;
    let stream = bench.stream()?;
    bench.carry(&[0])?;
    // The other link, another policy, other parameters: each while traffic flows.
    bench.edit(&office("eth1", "eth0"))?;
    bench.wait_for_bond("on eth1", |bond| {
        let mut paths = bond["paths"].as_array().into_iter().flatten();
        paths.any(|path| path["ifname"] == "eth1" && path["isActive"] == true)
    })?;
    bench.carry(&[1])?;
    bench.edit(&patient("balance-rr"))?;
    bench.wait_for_bond("balance-rr", |bond| {
        bond["bondingPolicyStr"] == "balance-rr"
    })?;
    bench.carry(&[0, 1])?;
    // Mistakes change nothing, and are shown wherever somebody may look.
    for (content, problem) in [
        (
            r#"{"settings": {"defaultBondingPolicy": "offfice", "allowSecondaryPort": false}}"#,
            "settings.defaultBondingPolicy: there is no policy \"offfice\"",
        ),
        (r#"{"settings": {"#, "not valid JSON"),
    ] {
        std::fs::write(bench.lab.members[0].home().join("local.conf"), content)?;
        let list = bench.wait_for(&["bond", "list"], problem)?;
        ensure!(
            list.contains("balance-rr") && list.contains("2/2"),
            "{list}"
        );
        let info = bench.tool(&["info"])?;
        ensure!(
            info.stderr.contains(problem) && info.stdout.starts_with("200 info "),
            "{info:?}"
        );
        let json: Value = serde_json::from_str(&bench.ok(&["-j", "info"])?)?;
        let reason = json["bondingProblems"][0]["reason"]
            .as_str()
            .unwrap_or_default();
        ensure!(
            problem.contains(reason) || reason.contains(problem),
            "{json}"
        );
        bench.wait_for(&["bond", "events"], problem)?;
        bench.carry(&[0, 1])?;
    }
    bench.edit(&patient("balance-rr"))?;
    bench.wait_for_bond("no problem", |_| {
        bench
            .tool(&["-j", "info"])
            .is_ok_and(|info| !info.stdout.contains("bondingProblems"))
    })?;
    nothing_lost(stream)?;
    bench.finish()
}

/// The hardware addresses of the first member's links.
fn hardware_addresses(bench: &Bench<'_>) -> anyhow::Result<Vec<String>> {
    let links = bench.links;
    let host = bench.lab.members[0].host();
    let addresses = host.run(move || {
        (0..links)
            .map(|link| links::hardware_address(&interface_name(link)))
            .collect::<std::io::Result<Vec<String>>>()
    })??;
    Ok(addresses)
}

fn by_hardware_address(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &patient("balance-rr"))?;
    let addresses = hardware_addresses(&bench)?;
    let [first, second] = &addresses[..] else {
        anyhow::bail!("{addresses:?}");
    };
    let stream = bench.stream()?;
    bench.edit(&office(&first.to_uppercase(), second))?;
    bench.wait_for_bond("active-backup", |bond| bond["policyName"] == "office")?;
    // The other member has no links of that name.
    let missing = until(PATIENCE, || {
        let list = bench.lab.members[1].cli(&place.hawser, &["bond", "list"])?;
        Ok(list.contains("is not there yet").then_some(()))
    })?;
    missing.context("the other member finds links of these addresses")?;
    ensure!(bench.active()? == "eth0", "the primary link is active");
    bench.carry(&[0])?;
    let said = bench.ok(&[
        "bond",
        &bench.peer,
        "link",
        "disable",
        &first.to_uppercase(),
    ])?;
    ensure!(said.contains("is disabled"), "{said}");
    bench.carry(&[1])?;
    bench.ok(&["bond", &bench.peer, "link", "enable", &first.to_uppercase()])?;
    bench.carry(&[0])?;
    nothing_lost(stream)?;
    bench.finish()
}

/// How many of 20 datagrams of 1200 bytes, each a frame of its own, arrive at the second member.
fn arrivals(bench: &Bench<'_>) -> anyhow::Result<usize> {
    let to = bench.overlay[1];
    let receiver = bench.lab.members[1].host();
    let socket = receiver.run(move || UdpSocket::bind((to, 0)))??;
    socket.set_read_timeout(Some(Duration::from_millis(700)))?;
    let target = socket.local_addr()?;
    let sender = bench.lab.members[0].host();
    sender.run(move || -> std::io::Result<()> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        for _ in 0..20 {
            socket.send_to(&[0x5a; 1200], target)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    })??;
    let mut buffer = [0; 2048];
    Ok((0..20).filter(|_| socket.recv(&mut buffer).is_ok()).count())
}

/// Lets nothing longer than so many bytes leave the first member by a link.
fn narrow(bench: &Bench<'_>, link: u8, bytes: u32) -> anyhow::Result<()> {
    let host = bench.lab.members[0].host();
    host.run(move || shaping::limit_length(&interface_name(link), bytes))??;
    Ok(())
}

/// Links that drop what is longer than 900 bytes show what really leaves.
fn packet_sizes(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &office("eth0", "eth1"))?;
    let all = arrivals(&bench)?;
    ensure!(all == 20, "{all} of 20 before anything is narrow");
    // Both: of what an idle bond sends first the other link gets a copy.
    narrow(&bench, 0, 900)?;
    narrow(&bench, 1, 900)?;
    let none = arrivals(&bench)?;
    ensure!(
        none == 0,
        "{none} datagrams passed a link that is too narrow for them"
    );
    // By order: for this interface and this address.
    let remote = underlay_address(0, host_of_member(1)).to_string();
    bench.ok(&["bond", "setmtu", "800", "eth0", &remote])?;
    let all = arrivals(&bench)?;
    ensure!(all == 20, "{all} of 20 after setmtu");
    let of_path = |name: &str| -> anyhow::Result<Value> {
        let bond = bench.bond()?;
        let mut paths = bond["paths"].as_array().into_iter().flatten();
        let path = paths.find(|path| path["ifname"] == name);
        Ok(path.context("no such path")?["mtu"].clone())
    };
    ensure!(
        of_path("eth0")? == 800 && of_path("eth1")? == 1432,
        "{}",
        bench.bond()?
    );
    // By the settings, which go before orders.
    let mut wide = office("eth0", "eth1");
    wide["policies"]["office"]["links"]["eth0"]["mtu"] = json!(1300);
    bench.edit(&wide)?;
    bench.wait_for_bond("wide", |_| of_path("eth0").is_ok_and(|mtu| mtu == 1300))?;
    let none = arrivals(&bench)?;
    ensure!(
        none == 0,
        "{none} datagrams passed: the key mtu is without effect"
    );
    wide["policies"]["office"]["links"]["eth0"]["mtu"] = json!(700);
    bench.edit(&wide)?;
    bench.wait_for_bond("narrow", |_| of_path("eth0").is_ok_and(|mtu| mtu == 700))?;
    let all = arrivals(&bench)?;
    ensure!(all == 20, "{all} of 20 with the key mtu");
    bench.finish()
}

/// The stream brings the link over its cap within seconds; from then on the other one carries all.
fn data_cap(place: &Place) -> anyhow::Result<()> {
    let settings = json!({"defaultBondingPolicy": "p", "policies": {"p": {"basePolicy": "balance-rr", "downDelay": 3000,
        "links": {"eth0": {"mode": "primary"}, "eth1": {"mode": "primary", "dataCap": "600 kB"}}}}});
    let mut bench = Bench::start(place, 2, &settings)?;
    let stream = bench.stream()?;
    bench.carry(&[0, 1])?;
    let events = bench.wait_for(&["bond", "events"], "has reached its data cap")?;
    ensure!(events.contains("Link eth1"), "{events}");
    bench.carry(&[0])?;
    let (_, overview) = bench.lab.members[0].get("/bond")?;
    let usage = &overview["usage"][0];
    ensure!(
        usage["ifname"] == "eth1" && usage["cap"] == 600_000,
        "{overview}"
    );
    ensure!(usage["used"].as_u64() >= Some(600_000), "{overview}");
    // While nothing else works, it has to.
    bench.lab.blackhole(0, 0)?;
    bench.carry(&[1])?;
    bench.lab.restore(0, 0)?;
    bench.carry(&[0])?;
    drop(stream);
    // What was carried is known after a restart.
    bench.lab.members[0].stop()?;
    bench.lab.members[0].start()?;
    bench.wait_for_links(2)?;
    bench.wait_for(&["bond", "events"], "has reached its data cap")?;
    let stream = bench.stream()?;
    bench.carry(&[0])?;
    drop(stream);
    bench.finish()
}
