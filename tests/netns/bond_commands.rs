//! Every command about bonds, judged by what it does to traffic.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::lab::topology::{host_of_member, underlay_address};
use serde_json::{Value, json};
use tests::bond_bench::{Bench, nothing_lost, patient};
use tests::runner::{Place, Scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("bond_list_show_test_and_events_tell_what_is", shown),
        Scenario::new("bond_errors_have_a_reason_and_an_exit_code", refused),
        Scenario::new("bond_rotate_moves_traffic_without_loss", rotated),
        Scenario::new("bond_enable_disable_and_set_change_the_policy", enabled),
        Scenario::new("bond_link_orders_move_traffic", link_orders),
        Scenario::new("bond_orders_are_saved_in_place", saved),
    ]
}

fn active_backup() -> Value {
    let patient = json!({"downDelay": 3000, "linkQuality": {"plr_max": 1.0}});
    json!({"defaultBondingPolicy": "office", "balance-rr": patient, "broadcast": patient, "policies": {"office": {
        "basePolicy": "active-backup", "downDelay": 3000,
        "links": {"eth0": {"mode": "primary"}, "eth1": {"mode": "spare"}}}}})
}

/// A run of the tool that goes on until it is killed.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(bench: &Bench<'_>, words: &[&str]) -> anyhow::Result<Self> {
        let member = &bench.lab.members[0];
        let mut command = Command::new(&bench.place.hawser);
        command
            .arg(format!("-D{}", member.home().display()))
            .args(words)
            .stdout(Stdio::piped());
        let mut child = member.host().run(move || command.spawn())??;
        let out = child.stdout.take().context("no output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for a line that contains `part`.
    fn line_with(&self, part: &str) -> anyhow::Result<String> {
        let patience = Duration::from_secs(15);
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(patience);
            let line = line.with_context(|| format!("no line with {part:?} after {seen:?}"))?;
            if line.contains(part) {
                return Ok(line);
            }
            seen.push(line);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be over already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn shown(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &active_backup())?;
    let peer = bench.peer.as_str();
    let list = bench.tool(&["bond", "list"])?;
    ensure!(list.code == 0, "{list:?}");
    let row = list.stdout.lines().find(|line| line.contains(peer));
    let cells: Vec<&str> = row.context("no row")?.split_ascii_whitespace().collect();
    ensure!(
        cells == [peer, "active-backup", "Healthy", "2/2"],
        "{cells:?}"
    );
    let listbonds = bench.ok(&["listbonds"])?;
    ensure!(listbonds == list.stdout, "{listbonds}");
    let json: Value = serde_json::from_str(&bench.ok(&["-j", "bond", "list"])?)?;
    let peers = json.as_array().context("no array")?;
    let of_peer = peers.iter().find(|other| other["address"] == peer);
    ensure!(of_peer.context("not listed")?["isBonded"] == true, "{json}");

    // Both word orders, both layouts.
    for words in [
        ["bond", peer, "show"],
        ["bond", "show", peer],
        ["show", "bond", peer],
    ] {
        let shown = bench.ok(&words)?;
        let has = |part: &str| shown.lines().any(|line| line.starts_with(part));
        ensure!(
            has("PEER") && has("BOND PARAMETERS") && has("* eth0"),
            "{shown}"
        );
        let classic = bench.ok(&[&["--classic"], &words[..]].concat())?;
        ensure!(
            classic.starts_with(&format!("Peer                   : {peer}\n")),
            "{classic}"
        );
        ensure!(
            classic.contains("Links                  : 2/2\n"),
            "{classic}"
        );
        ensure!(
            classic.contains("\nidx     lat      pdv    capacity"),
            "{classic}"
        );
    }
    let watch = Running::start(&bench, &["bond", peer, "show", "--watch"])?;
    for _ in 0..3 {
        watch.line_with("LINK QUALITY")?;
    }
    drop(watch);

    // A dry failover names the path that a real one takes.
    let test = bench.ok(&["bond", "test", peer])?;
    ensure!(
        test.contains(": if eth0/")
            && test.contains("traffic goes to eth1/")
            && test.contains("proven"),
        "{test}"
    );
    ensure!(
        bench.ok(&["bond", "test"])?.contains(peer),
        "bond test names all bonds"
    );
    let json: Value = serde_json::from_str(&bench.ok(&["-j", "bond", peer, "test"])?)?;
    ensure!(
        json["failures"][0]["next"][0]["condition"] == "up",
        "{json}"
    );
    ensure!(bench.active()? == "eth0", "a test switches nothing");

    // Who follows sees the past at once, and what comes as it comes.
    let follow = Running::start(&bench, &["bond", "events", "-f"])?;
    follow.line_with("created")?;
    bench.ok(&["bond", peer, "rotate"])?;
    let switched = follow.line_with("has been switched from eth0/")?;
    ensure!(
        switched.contains("(office) Active link to peer"),
        "{switched}"
    );
    let follow_json = Running::start(&bench, &["-j", "bond", "events", "-f"])?;
    let rotate: Value = serde_json::from_str(&follow_json.line_with("\"rotate\"")?)?;
    ensure!(rotate["peer"] == peer && rotate["seq"].is_u64(), "{rotate}");
    drop((follow, follow_json));
    let events = bench.ok(&["bond", "events"])?;
    for part in ["HEALTHY", "Eligibility", "switched"] {
        ensure!(events.contains(part), "no {part:?} in {events}");
    }
    bench.finish()
}

/// Reason on one line, codes 0, 1 and 2, and under the name of the original its words.
fn refused(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &patient("balance-rr"))?;
    let peer = bench.peer.as_str();
    let controller = bench.lab.controller.address().to_string();
    let refusals: [(&[&str], i32, &str); 13] = [
        (
            &["bond", peer, "rotate"],
            1,
            "the bond is balance-rr, not active-backup",
        ),
        (&["bond", "0123456789", "show"], 1, "no such peer is known"),
        (&["bond", "0123456789", "test"], 1, "no such peer is known"),
        (
            &["bond", peer, "set", "upDelay=-1"],
            1,
            "upDelay: must be an integer from 0",
        ),
        (
            &["bond", peer, "set", "speeed", "1"],
            1,
            "is no key that is known",
        ),
        (&["bond", peer, "set", "fec", "true"], 1, "fec"),
        (
            &["bond", peer, "enable", "foo"],
            1,
            "there is no policy \"foo\"",
        ),
        (
            &["bond", peer, "link", "disable", "eth7"],
            1,
            "there is no link eth7",
        ),
        (
            &["bond", peer, "link", "reset", "eth7"],
            1,
            "there is no path on eth7",
        ),
        (
            &["bond", peer, "link", "add", "eth0", "best"],
            1,
            "none of primary",
        ),
        (
            &["bond", "setmtu", "20", "eth0", "10.77.0.4"],
            1,
            "not reasonable",
        ),
        (
            &["bond", "setmtu", "1400", "eth9", "10.77.0.4"],
            1,
            "Unable to find specified link",
        ),
        (
            &["bond", peer, "link", "eat", "eth0"],
            2,
            "needs one of add, remove",
        ),
    ];
    for (words, code, reason) in refusals {
        let said = bench.tool(words)?;
        ensure!(
            said.code == code && said.stderr.contains(reason) && said.stdout.is_empty(),
            "{words:?}: {said:?}"
        );
        ensure!(
            code == 2 || said.stderr.lines().count() == 1,
            "{words:?}: {said:?}"
        );
    }
    let classic = place.folder.join("zerotier-cli");
    std::os::unix::fs::symlink(&place.hawser, &classic)?;
    let original: [(&[&str], i32, String); 6] = [
        (
            &["bond", "0123456789", "show"],
            1,
            "400 bond {}\n".to_owned(),
        ),
        (&["bond", peer, "rotate"], 1, "400 bond {}\n".to_owned()),
        (
            &["bond", "foo"],
            2,
            "(bond) command is missing required arguments\n".to_owned(),
        ),
        (
            &["bond", "setmtu", "1400", "eth9", "10.77.0.4"],
            1,
            "400 Failed to set MTU: Unable to find specified link\n".to_owned(),
        ),
        (
            &["bond", "setmtu", "1400", "eth0", "10.77.0.4"],
            0,
            "200 setmtu OK\n".to_owned(),
        ),
        (
            &["bond", "set", peer, "upDelay=7"],
            0,
            "200 bond upDelay is now 7, was the default\n".to_owned(),
        ),
    ];
    for (words, code, text) in original {
        let output = bench.lab.members[0].tool(&classic, words)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.code() == Some(code) && said == text,
            "{words:?}: {output:?}"
        );
    }
    // Why somebody has no bond.
    bench.edit(&json!({"defaultBondingPolicy": "balance-rr",
        "peerSpecificBonds": {controller.as_str(): "none"}}))?;
    let reason = format!("{controller} has no bond: its policy is none.");
    bench.wait_for(&["bond", "list"], &reason)?;
    bench.finish()
}

fn rotated(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 3, &patient("active-backup"))?;
    let peer = bench.peer.as_str();
    let stream = bench.stream()?;
    std::thread::sleep(Duration::from_secs(1));
    for turn in 0..2 {
        let before = bench.active()?;
        let said = bench.ok(&["bond", peer, "rotate"])?;
        let answered = bench.sent()?;
        std::thread::sleep(Duration::from_millis(100));
        let later = bench.sent()?;
        let after = bench.active()?;
        ensure!(
            before != after && said.contains(&after),
            "{turn}: {before}, {after}: {said}"
        );
        // Whoever has the answer has the switch: a tenth of a second of the stream would be 15 kB.
        let old: usize = before.trim_start_matches("eth").parse()?;
        let left = later[old] - answered[old];
        ensure!(
            left < 3000,
            "{left} bytes left by {before} after the answer"
        );
        let link = after.trim_start_matches("eth").parse()?;
        bench.carry(&[link])?;
    }
    for link in [2, 0, 1] {
        let name = format!("eth{link}");
        if bench.active()? == name {
            continue;
        }
        bench.ok(&["bond", peer, "rotate", &name, "--sticky"])?;
        ensure!(bench.active()? == name, "{name}");
        bench.carry(&[link])?;
    }
    let again = bench.tool(&["bond", peer, "rotate", "eth1"])?;
    ensure!(
        again.code == 1 && again.stderr.contains("no path of eth1 can take over"),
        "{again:?}"
    );
    nothing_lost(stream)?;
    bench.finish()
}

fn enabled(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 2, &active_backup())?;
    let peer = bench.peer.as_str();
    // What the other side calls spare would stay so, whatever is ordered here.
    bench.edit_member(1, &patient("balance-rr"))?;
    let end = underlay_address(1, host_of_member(1));
    let told = format!("calls its end of link eth1/{end}/9993 primary");
    bench.wait_for(&["bond", "events"], &told)?;
    let stream = bench.stream()?;
    bench.carry(&[0])?;
    let said = bench.ok(&["bond", peer, "disable"])?;
    ensure!(said == "the policy is now none, was office\n", "{said}");
    let list = bench.tool(&["bond", "list"])?;
    ensure!(!list.stdout.contains(peer), "{list:?}");
    ensure!(
        list.stderr
            .contains(&format!("{peer} has no bond: its policy is none")),
        "{list:?}"
    );
    let shown = bench.tool(&["bond", peer, "show"])?;
    ensure!(
        shown.code == 1 && shown.stderr.contains("its policy is none"),
        "{shown:?}"
    );
    bench.ok(&["bond", peer, "enable", "balance-rr"])?;
    bench.wait_for_bond("two links", |bond| bond["numAliveLinks"] == 2)?;
    bench.carry(&[0, 1])?;
    bench.ok(&["bond", peer, "set", "policy", "office"])?;
    bench.carry(&[0])?;
    bench.ok(&["bond", peer, "set", "policy", "broadcast"])?;
    bench.carry(&[0, 1])?;
    // Parameters: seen in the bond, and in what it does.
    bench.ok(&["bond", peer, "set", "policy", "balance-rr"])?;
    let said = bench.ok(&["bond", peer, "set", "failoverInterval", "700", "upDelay=5"])?;
    ensure!(
        said.contains("failoverInterval is now 700, was the default"),
        "{said}"
    );
    let bond = bench.bond()?;
    ensure!(
        bond["failoverInterval"] == 700 && bond["upDelay"] == 5,
        "{bond}"
    );
    let links = r#"{"eth1": {"mode": "primary"}}"#;
    let said = bench.tool(&["bond", peer, "set", "links", links])?;
    ensure!(said.code == 0, "{said:?}");
    bench.carry(&[1])?;
    nothing_lost(stream)?;
    bench.finish()
}

fn link_orders(place: &Place) -> anyhow::Result<()> {
    let bench = Bench::start(place, 3, &patient("balance-rr"))?;
    let peer = bench.peer.as_str();
    let order = |words: &[&str]| bench.ok(&[&["bond", peer, "link"], words].concat());
    let stream = bench.stream()?;
    bench.carry(&[0, 1, 2])?;
    ensure!(
        order(&["disable", "eth1"])? == "eth1 is disabled\n",
        "disable"
    );
    bench.carry(&[0, 2])?;
    order(&["enable", "eth1"])?;
    bench.carry(&[0, 1, 2])?;
    order(&["remove", "eth2"])?;
    bench.carry(&[0, 1])?;
    // A spare link waits; a primary one works.
    order(&["add", "eth2", "spare"])?;
    bench.carry(&[0, 1])?;
    order(&["add", "eth2", "primary"])?;
    bench.carry(&[0, 1, 2])?;
    order(&["add", "eth0", "never"])?;
    bench.carry(&[1, 2])?;
    order(&["add", "eth0", "mode", "primary"])?;
    bench.carry(&[0, 1, 2])?;
    ensure!(
        order(&["reset", "eth1"])?.contains("punishment of 1 paths is forgotten"),
        "reset"
    );
    ensure!(
        order(&["nominate", "eth1"])?.contains("begin a new trial"),
        "nominate"
    );
    bench.wait_for(&["bond", "events"], "begin a new trial")?;
    // It proves itself, and works on.
    bench.wait_for_bond("three links", |bond| bond["numAliveLinks"] == 3)?;
    bench.carry(&[0, 1, 2])?;
    nothing_lost(stream)?;
    bench.finish()
}

fn saved(place: &Place) -> anyhow::Result<()> {
    let mut bench = Bench::start(place, 2, &patient("balance-rr"))?;
    let file = bench.lab.members[0].home().join("local.conf");
    // The operator's own form, which no program would choose.
    let form = "{\n  \"settings\": {\n     \"portMappingEnabled\": false,\n   \"allowTcpFallbackRelay\": false,\n\n  \
                \"defaultBondingPolicy\":   \"balance-rr\", \"allowSecondaryPort\": false\n  },\n  \"physical\": {}\n}\n";
    std::fs::write(&file, form)?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640))?;
    let peer = bench.peer.clone();
    let said = bench.ok(&["bond", &peer, "link", "disable", "eth1", "--save"])?;
    ensure!(said == "eth1 is disabled; saved in local.conf\n", "{said}");
    let text = std::fs::read_to_string(&file)?;
    for line in form.lines().filter(|line| !line.contains("defaultBonding")) {
        ensure!(
            text.lines().any(|other| other == line),
            "{line:?} is gone from {text}"
        );
    }
    ensure!(
        text.contains("\"defaultBondingPolicy\":   \"balance-rr\""),
        "{text}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file)?.permissions());
    ensure!(mode & 0o777 == 0o640, "mode {mode:o}");
    let said = bench.ok(&["bond", &peer, "set", "upDelay", "7", "--save"])?;
    ensure!(said.ends_with("; saved in local.conf\n"), "{said}");
    let again = bench.ok(&["bond", &peer, "enable", "--save"])?;
    ensure!(again.ends_with("; local.conf says so already\n"), "{again}");
    let reset = bench.tool(&["bond", &peer, "link", "reset", "eth1", "--save"])?;
    ensure!(
        reset.code == 1 && reset.stderr.contains("nothing that could be saved"),
        "{reset:?}"
    );
    bench.lab.members[0].stop()?;
    bench.lab.members[0].start()?;
    bench.wait_for_bond("as saved", |bond| {
        let paths = bond["paths"].as_array();
        bond["upDelay"] == 7
            && paths.is_some_and(|paths| {
                paths
                    .iter()
                    .any(|path| path["ifname"] == "eth0" && path["bonded"] == 1)
                    && paths
                        .iter()
                        .filter(|path| path["ifname"] == "eth1")
                        .all(|path| path["condition"] == "refused" && path["bonded"] == 0)
            })
    })?;
    // A file that is broken is not overwritten.
    std::fs::write(&file, "{ broken")?;
    let refused = bench.tool(&["bond", &peer, "set", "upDelay", "8", "--save"])?;
    ensure!(
        refused.code == 1
            && refused
                .stderr
                .contains("not saved: local.conf: not valid JSON"),
        "{refused:?}"
    );
    ensure!(
        std::fs::read_to_string(&file)? == "{ broken",
        "it was written"
    );
    bench.finish()
}
