//! Editing local.conf while the daemon runs (service specification B): what is said there takes effect, and a slip of the
//! editor changes nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::lab::daemon::{Daemon, PORT};
use cli::lab::topology::{Lab, underlay_address, until};
use serde_json::{Value, json};
use tests::runner::{Place, Scenario};

/// The file is looked at every 10 s.
const PATIENCE: Duration = Duration::from_secs(25);
/// Host number of the first member.
const MEMBER: u8 = 3;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("local_conf_edits_take_effect", edits_take_effect),
        Scenario::new(
            "a_broken_local_conf_edit_changes_nothing",
            broken_edit_changes_nothing,
        ),
    ]
}

/// A lab of which only the first member, with two interfaces, is of interest.
fn build(place: &Place) -> anyhow::Result<Lab> {
    let mut lab = place.lab(2, 1)?;
    lab.members[0].start()?;
    Ok(lab)
}

/// Writes the file with `settings` (secondary ports off, so that sockets are easily told) and `physical`.
fn edit(daemon: &Daemon, settings: &Value, physical: &Value) -> anyhow::Result<()> {
    let mut all = json!({"portMappingEnabled": false, "allowTcpFallbackRelay": false});
    if let (Some(all), Some(settings)) = (all.as_object_mut(), settings.as_object()) {
        all.extend(settings.clone());
    }
    let document = json!({"settings": all, "physical": physical});
    std::fs::write(daemon.home().join("local.conf"), document.to_string())?;
    Ok(())
}

/// The addresses that sockets are bound to, each once, sorted.
fn bound(daemon: &Daemon) -> std::io::Result<Vec<String>> {
    let (_, status) = daemon.get("/status")?;
    let sockets = status["config"]["settings"]["listeningOn"].as_array();
    let mut addresses: Vec<String> = sockets
        .into_iter()
        .flatten()
        .filter_map(|socket| Some(socket.as_str()?.split_once('/')?.0.to_owned()))
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn wait_until_bound(daemon: &Daemon, expected: &[&str], what: &str) -> anyhow::Result<()> {
    let mut last = Vec::new();
    until(PATIENCE, || {
        last = bound(daemon)?;
        Ok((last == expected).then_some(()))
    })?
    .with_context(|| format!("{what}: bound to {last:?} instead of {expected:?}"))
}

/// Status line of an authorised request from another host of the lab.
fn asked_from_elsewhere(lab: &Lab) -> anyhow::Result<String> {
    let member = &lab.members[0];
    let token = std::fs::read_to_string(member.home().join("authtoken.secret"))?;
    let to = SocketAddr::from((underlay_address(0, MEMBER), PORT));
    let answer = lab.controller.host().run(move || {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let request =
            format!("GET /status HTTP/1.1\r\nX-ZT1-Auth: {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    })??;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn edits_take_effect(place: &Place) -> anyhow::Result<()> {
    let mut lab = build(place)?;
    let (first, second) = ("10.77.0.3", "10.77.1.3");
    let none = json!({});
    let member = &lab.members[0];
    wait_until_bound(member, &[first, second], "at the start")?;

    edit(
        member,
        &json!({"interfacePrefixBlacklist": ["eth1"]}),
        &none,
    )?;
    wait_until_bound(member, &[first], "interfacePrefixBlacklist")?;

    let blacklist = json!({"10.77.0.0/24": {"blacklist": true}});
    edit(member, &none, &blacklist)?;
    wait_until_bound(member, &[second], "physical blacklist")?;

    edit(member, &json!({"bind": [first]}), &none)?;
    wait_until_bound(member, &[first], "bind")?;

    let refused = asked_from_elsewhere(&lab)?;
    ensure!(refused == "HTTP/1.1 401 Unauthorized", "{refused}");
    let management = json!({"allowManagementFrom": ["10.77.0.0/24"]});
    edit(&lab.members[0], &management, &none)?;
    until(PATIENCE, || {
        let line = asked_from_elsewhere(&lab).map_err(std::io::Error::other)?;
        Ok((line == "HTTP/1.1 200 OK").then_some(()))
    })?
    .context("allowManagementFrom had no effect")?;
    // And with it everything that the earlier edits said is gone.
    wait_until_bound(&lab.members[0], &[first, second], "keys removed")?;

    std::fs::remove_file(lab.members[0].home().join("local.conf"))?;
    until(PATIENCE, || {
        let line = asked_from_elsewhere(&lab).map_err(std::io::Error::other)?;
        Ok((line == "HTTP/1.1 401 Unauthorized").then_some(()))
    })?
    .context("the file's removal had no effect")?;
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}

fn broken_edit_changes_nothing(place: &Place) -> anyhow::Result<()> {
    let mut lab = build(place)?;
    let member = &lab.members[0];
    let settings = json!({
        "interfacePrefixBlacklist": ["eth1"],
        "allowManagementFrom": ["10.77.0.0/24"],
    });
    edit(member, &settings, &json!({}))?;
    wait_until_bound(member, &["10.77.0.3"], "interfacePrefixBlacklist")?;

    let broken = "{\"settings\": {\"interfacePrefixBlacklist\": [\"eth0\"], ";
    let file = member.home().join("local.conf");
    std::fs::write(&file, broken)?;
    let complaint = until(PATIENCE, || {
        let log = member.log();
        let line = log.lines().find(|line| line.contains("stay as they were"));
        Ok(line.map(str::to_owned))
    })?
    .context("nothing was said about the broken file")?;
    ensure!(
        complaint.contains("local.conf") && complaint.contains("not valid JSON"),
        "unclear: {complaint}"
    );
    ensure!(bound(member)? == ["10.77.0.3"], "settings were lost");
    let line = asked_from_elsewhere(&lab)?;
    ensure!(
        line == "HTTP/1.1 200 OK",
        "the operator was cut off: {line}"
    );
    ensure!(
        std::fs::read_to_string(&file)? == broken,
        "the file was changed"
    );

    // Repaired, it counts again.
    edit(&lab.members[0], &json!({"bind": ["10.77.1.3"]}), &json!({}))?;
    wait_until_bound(&lab.members[0], &["10.77.1.3"], "repaired")?;
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}
