//! Every mistake in the bonding settings that ends 1.14.1, or passes it unnoticed, at the start of the daemon.

use std::time::Duration;

use anyhow::{Context, ensure};
use cli::lab::topology::until;
use serde_json::{Value, json};
use tests::bond_bench::settings;
use tests::bond_mistakes::{Mistake, NO_JSON, mistakes};
use tests::runner::{Place, Scenario};

const PATIENCE: Duration = Duration::from_secs(25);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new(
        "every_bonding_mistake_is_named_and_ends_no_daemon",
        named,
    )]
}

fn named(place: &Place) -> anyhow::Result<()> {
    let mut lab = place.lab(2, 1)?;
    lab.root.start()?;
    lab.controller.start()?;
    let peer = lab.controller.address().to_string();
    for Mistake {
        settings: mistake,
        problems,
    } in mistakes(&peer)
    {
        let member = &mut lab.members[0];
        member.renew(&place.hawserd, &settings(&mistake))?;
        member.start().with_context(|| mistake.to_string())?;
        // 1.14.1 died of one mistake only when it reached a peer.
        until(PATIENCE, || {
            Ok((member.get("/status")?.1["online"] == true).then_some(()))
        })?
        .with_context(|| format!("{mistake}: it reaches no root\n{}", member.log()))?;
        let info = member.tool(&place.hawser, &["-j", "info"])?;
        ensure!(info.status.success(), "{mistake}: {info:?}");
        let info: Value = serde_json::from_slice(&info.stdout)?;
        let shown = info["bondingProblems"].as_array();
        let shown: &[Value] = shown.map_or(&[], Vec::as_slice);
        ensure!(shown.len() == problems.len(), "{mistake}: {shown:?}");
        let log = member.log();
        for (at, reason) in problems {
            let problem = shown.iter().find(|problem| {
                let has = |key: &str, part: &str| {
                    problem[key]
                        .as_str()
                        .is_some_and(|text| text.contains(part))
                };
                has("path", at) && has("reason", reason)
            });
            let problem = problem.with_context(|| format!("{mistake}: {shown:?}"))?;
            let line = format!(
                "local.conf: error: {}: {}",
                problem["path"].as_str().unwrap_or_default(),
                problem["reason"].as_str().unwrap_or_default()
            );
            ensure!(log.contains(&line), "{mistake}: no {line:?} in {log}");
        }
        ensure!(!log.contains("panicked"), "{mistake}: {log}");
        let ended = member.stop()?.context("it did not run")?;
        ensure!(ended.success(), "{mistake}: ended with {ended}");
    }

    // What is no JSON at all may hold anything: the daemon does not start with settings that nobody wrote.
    let member = &mut lab.members[0];
    member.renew(&place.hawserd, &settings(&json!({})))?;
    std::fs::write(member.home().join("local.conf"), NO_JSON)?;
    let refused = member.start();
    ensure!(refused.is_err(), "it started with {NO_JSON}");
    let log = member.log();
    ensure!(
        log.contains("local.conf") && log.contains("not valid JSON") && !log.contains("panicked"),
        "{refused:?}\n{log}"
    );
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}
