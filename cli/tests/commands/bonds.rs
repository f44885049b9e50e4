//! Orders to bonds.

use crate::lab::{BOND, stderr, stdout};
use crate::support::FakeDaemon;

#[test]
fn orders_to_bonds_say_what_changed_or_why_not() {
    let daemon = FakeDaemon::start(&[
        (
            "PATCH /bond/caf20f3e73",
            200,
            r#"{"result":"upDelay is now 5, was the default"}"#,
        ),
        (
            "PATCH /bond/62f865ae71",
            400,
            r#"{"error":"upDelay: not from 0 to 600000"}"#,
        ),
        (
            "POST /bond/caf20f3e73/rotate",
            200,
            r#"{"result":"active link is wan2/10.0.0.2/9993"}"#,
        ),
        (
            "POST /bond/62f865ae71/rotate",
            400,
            r#"{"error":"the failover queue is empty"}"#,
        ),
        (
            "POST /bond/caf20f3e73/link/eth0.17",
            200,
            r#"{"result":"done"}"#,
        ),
        (
            "DELETE /bond/caf20f3e73/link/wan1",
            200,
            r#"{"result":"wan1 is removed"}"#,
        ),
        (
            "GET /bond/events?since=0",
            200,
            "{\"event\":\"failover\",\"policy\":\"office\",\"seq\":1,\"text\":\"Active link\",\"ts\":1599768598123}\n",
        ),
        ("GET /bond/show/caf20f3e73", 200, BOND),
    ]);
    for (words, request, body, hawser, original) in [
        (
            "bond caf20f3e73 set upDelay 5",
            "PATCH /bond/caf20f3e73",
            r#"{"upDelay":5}"#,
            stdout(0, "upDelay is now 5, was the default\n"),
            stdout(0, "200 bond upDelay is now 5, was the default\n"),
        ),
        (
            "bond set 62f865ae71 upDelay=-1",
            "PATCH /bond/62f865ae71",
            r#"{"upDelay":-1}"#,
            stderr(1, "hawser: upDelay: not from 0 to 600000.\n"),
            stdout(1, "400 bond upDelay: not from 0 to 600000\n"),
        ),
        (
            "bond caf20f3e73 enable balance-xor",
            "PATCH /bond/caf20f3e73",
            r#"{"enabled":true,"policy":"balance-xor"}"#,
            stdout(0, "upDelay is now 5, was the default\n"),
            stdout(0, "200 bond upDelay is now 5, was the default\n"),
        ),
        (
            "bond caf20f3e73 disable",
            "PATCH /bond/caf20f3e73",
            r#"{"enabled":false}"#,
            stdout(0, "upDelay is now 5, was the default\n"),
            stdout(0, "200 bond upDelay is now 5, was the default\n"),
        ),
        (
            "bond caf20f3e73 link add eth0.17 spare",
            "POST /bond/caf20f3e73/link/eth0.17",
            r#"{"action":"add","mode":"spare"}"#,
            stdout(0, "done\n"),
            stdout(0, "200 bond done\n"),
        ),
        (
            "bond link caf20f3e73 remove wan1",
            "DELETE /bond/caf20f3e73/link/wan1",
            "",
            stdout(0, "wan1 is removed\n"),
            stdout(0, "200 bond wan1 is removed\n"),
        ),
        (
            "bond events",
            "GET /bond/events?since=0",
            "",
            stdout(0, "2020-09-10 20:09:58 (office) Active link\n"),
            stdout(0, "2020-09-10 20:09:58 (office) Active link\n"),
        ),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        for (name, expected) in [("hawser", hawser), ("zerotier-cli", original)] {
            assert_eq!(daemon.run(name, &words), expected, "{name} {words:?}");
            let asked = daemon.asked();
            assert_eq!(
                (asked[0].what.as_str(), asked[0].body.as_str()),
                (request, body)
            );
        }
    }
    // These differ: only hawser has the newer path.
    let said = daemon.run(
        "hawser",
        &["--sticky", "bond", "caf20f3e73", "rotate", "wan2"],
    );
    assert_eq!(said, stdout(0, "active link is wan2/10.0.0.2/9993\n"));
    assert_eq!(
        daemon.asked()[0].body,
        r#"{"interface":"wan2","sticky":true}"#
    );
    assert_eq!(
        daemon.run("hawser", &["bond", "62f865ae71", "rotate"]),
        stderr(1, "hawser: the failover queue is empty.\n")
    );
    assert_eq!(
        daemon.run("hawser", &["-j", "bond", "caf20f3e73", "rotate"]),
        stdout(0, "{\"result\":\"active link is wan2/10.0.0.2/9993\"}\n")
    );
    daemon.asked();
    daemon.run("hawser", &["--save", "bond", "caf20f3e73", "disable"]);
    assert_eq!(daemon.asked()[0].body, r#"{"enabled":false,"save":true}"#);
    // The same bond by every name, in both layouts.
    let classic = daemon.run("zerotier-cli", &["bond", "caf20f3e73", "show"]);
    assert!(
        classic
            .stdout
            .starts_with("Peer                   : caf20f3e73\n")
    );
    for words in ["show bond caf20f3e73", "bond show caf20f3e73"] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(daemon.run("zerotier-cli", &words), classic);
        let said = daemon.run("hawser", &words);
        assert!(said.stdout.contains("\nLINK QUALITY\n"), "{said:?}");
        let words = [&["--classic"], &words[..]].concat();
        assert_eq!(daemon.run("hawser", &words), classic);
    }
}
