//! What scripts know of `zerotier-cli`.

use crate::lab::{NETWORK, NETWORKS, PEERS, STATUS, UNREACHABLE, daemon, stderr, stdout};
use crate::support::{FakeDaemon, Place};

#[test]
fn reading_commands_print_what_scripts_know() {
    let daemon = daemon();
    for (arguments, expected) in [
        (&["info"][..], "200 info 5cd0ba70f5 1.14.1 ONLINE\n".to_owned()),
        (&["status"], "200 info 5cd0ba70f5 1.14.1 ONLINE\n".to_owned()),
        (&["/status"], STATUS.to_owned()),
        (
            &["-j", "info"],
            "{\n \"address\": \"5cd0ba70f5\",\n \"online\": true,\n \"tcpFallbackActive\": false,\n \"version\": \"1.14.1\"\n}\n".to_owned(),
        ),
        (
            &["peers"],
            "200 peers\n<ztaddr>   <ver>  <role> <lat> <link>   <lastTX> <lastRX> <path>\n62f865ae71 -      PLANET    -1 RELAY\n".to_owned(),
        ),
        (
            &["listpeers"],
            "200 listpeers <ztaddr> <path> <latency> <version> <role>\n200 listpeers 62f865ae71 - -1 - PLANET\n".to_owned(),
        ),
        (
            &["listnetworks"],
            "200 listnetworks <nwid> <name> <mac> <status> <type> <dev> <ZT assigned ips>\n\
             200 listnetworks 4b3e5f84e842c20d lab net 0e:9e:92:52:f4:aa OK PRIVATE ztz7lb2rxf 10.79.50.29/24\n".to_owned(),
        ),
        (&["listmoons"], "[]\n".to_owned()),
        (
            &["bond", "list"],
            "    <peer>                        <bondtype>     <links>\n      NONE\t\t\t\tNONE\t    NONE       NONE\n".to_owned(),
        ),
        (&["get", NETWORK, "status"], "OK\n".to_owned()),
        (&["get", NETWORK, "ip4"], "10.79.50.29\n".to_owned()),
        (&["get", NETWORK, "routes"], "error, unknown property name\n".to_owned()),
    ] {
        assert_eq!(daemon.run("zerotier-cli", arguments), stdout(0, &expected), "{arguments:?}");
    }
    assert!(
        daemon
            .asked()
            .iter()
            .all(|asked| asked.token == "secret-token")
    );
}

#[test]
fn writing_commands_ask_and_print_what_scripts_know() {
    let daemon = daemon();
    let post = format!("POST /network/{NETWORK}");
    let delete = format!("DELETE /network/{NETWORK}");
    let allow = format!("{NETWORK} allowDNS=true");
    for (arguments, expected, what, body) in [
        (
            format!("join {NETWORK}"),
            "200 join OK\n",
            post.as_str(),
            "{}",
        ),
        (
            format!("-j join {NETWORK}"),
            r#"{"id":"4b3e5f84e842c20d"}"#,
            &post,
            "{}",
        ),
        (format!("leave {NETWORK}"), "200 leave OK\n", &delete, ""),
        (
            format!("leave {NETWORK} -j"),
            r#"{"result":true}"#,
            &delete,
            "",
        ),
        (
            format!("set {allow}"),
            r#"{"id":"4b3e5f84e842c20d"}"#,
            &post,
            r#"{"allowDNS":true}"#,
        ),
        (
            format!("set {NETWORK} allowGlobal=yes"),
            r#"{"id":"4b3e5f84e842c20d"}"#,
            &post,
            r#"{"allowGlobal":false}"#,
        ),
        (
            "orbit 4b3e5f84e8 4b3e5f84e8".to_owned(),
            "200 orbit OK\n",
            "POST /moon/4b3e5f84e8",
            r#"{"seed":"4b3e5f84e8"}"#,
        ),
        (
            "orbit 0000004b3e5f84e8 4b3e5f84e8".to_owned(),
            "200 orbit OK\n",
            "POST /moon/4b3e5f84e8",
            r#"{"seed":"4b3e5f84e8"}"#,
        ),
        (
            "deorbit 4b3e5f84e8".to_owned(),
            "200 deorbit OK\n",
            "DELETE /moon/4b3e5f84e8",
            "",
        ),
        (
            "bond caf20f3e73 rotate".to_owned(),
            "200 rotate OK\n",
            "POST /bond/rotate/caf20f3e73",
            "{}",
        ),
        (
            "bond setmtu 1400 eth0 10.0.0.1".to_owned(),
            "200 setmtu OK\n",
            "POST /bond/setmtu/1400/eth0/10.0.0.1",
            "{}",
        ),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        assert_eq!(
            daemon.run("zerotier-cli", &words),
            stdout(0, expected),
            "{arguments}"
        );
        let asked = daemon.asked();
        assert_eq!(asked.len(), 1, "{arguments}: {asked:?}");
        assert_eq!(
            (asked[0].what.as_str(), asked[0].body.as_str()),
            (what, body),
            "{arguments}"
        );
    }
}

#[test]
fn mistakes_and_refusals_as_scripts_know_them() {
    let daemon = daemon();
    let (no_network, no_bond) = (
        "invalid format: must be a 16-digit (network) ID\n",
        "(bond) command is missing required arguments\n",
    );
    for (arguments, expected) in [
        ("join 123", stdout(2, "invalid network id\n")),
        ("join", stdout(2, "invalid network id\n")),
        ("leave 123", stdout(2, "invalid network id\n")),
        ("join zzzzzzzzzzzzzzzz", stdout(1, "404 join \n")),
        ("orbit", stdout(0, "")),
        ("orbit 4b3e5f84e8 zz", stdout(0, "")),
        ("deorbit", stdout(1, "404 deorbit \n")),
        ("deorbit 123", stdout(1, "404 deorbit \n")),
        ("/nosuch", stdout(1, "404 /nosuch \n")),
        ("-Twrong info", stdout(1, "401 info {}\n")),
        ("get", stderr(2, no_network)),
        ("get 123 status", stderr(2, no_network)),
        (
            "get 4b3e5f84e842c20d",
            stderr(2, "invalid format: include a property name to get\n"),
        ),
        (
            "get 0000000000000001 status",
            stderr(
                0,
                "unknown network ID, check that you are a member of the network\n",
            ),
        ),
        ("set", stderr(2, no_network)),
        (
            "set 4b3e5f84e842c20d",
            stderr(2, "invalid format: include a property name to set\n"),
        ),
        ("set 4b3e5f84e842c20d foo=1", stdout(0, "")),
        ("bond", stdout(2, no_bond)),
        ("bond xyz show", stdout(2, no_bond)),
        ("bond setmtu 1400 eth0", stdout(2, no_bond)),
        ("bond caf20f3e73 show", stdout(1, "400 bond {}\n")),
        ("bond 62f865ae71 rotate", stdout(1, "400 bond {}\n")),
        (
            "bond setmtu 1400 eth1 10.0.0.1",
            stdout(1, "400 Failed to set MTU: Unable to find specified link\n"),
        ),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        assert_eq!(daemon.run("zerotier-cli", &words), expected, "{arguments}");
    }
    // The usage: on standard error after the service was found, and still a success.
    for arguments in [&[][..], &["nosuch"]] {
        let said = daemon.run("zerotier-cli", arguments);
        assert_eq!((said.code, said.stdout.as_str()), (0, ""));
        assert!(
            said.stderr
                .starts_with("ZeroTier One version 1.14.1 build 0 (platform 1 arch ")
        );
    }
    let said = daemon.run("zerotier-cli", &["set", NETWORK, "allowGlobal"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.starts_with("ZeroTier One version "));
}

#[test]
fn without_a_service_the_original_texts() {
    let place = Place::new();
    let directory = place.directory.display();
    let program = place.path("zerotier-cli");
    let program = program.display();
    assert_eq!(
        place.run("zerotier-cli", &["info"]),
        stderr(
            2,
            &format!("{program}: missing port and zerotier-one.port not found in {directory}\n")
        )
    );
    // Nobody listens on port 1 of the loopback address.
    place.write("zerotier-one.port", "1");
    assert_eq!(
        place.run("zerotier-cli", &["info"]),
        stderr(
            2,
            &format!(
                "{program}: authtoken.secret not found or readable in {directory} (try again as root)\n"
            )
        )
    );
    place.write(".zeroTierOneAuthToken", "secret-token");
    for command in [
        "info",
        "peers",
        "listpeers",
        "listnetworks",
        "listmoons",
        "listbonds",
        "dump",
    ] {
        assert_eq!(
            place.run("zerotier-cli", &[command]),
            stdout(1, UNREACHABLE),
            "{command}"
        );
    }
    for (command, argument) in [
        ("join", NETWORK),
        ("leave", NETWORK),
        ("deorbit", "4b3e5f84e8"),
    ] {
        let expected = stdout(1, &format!("0 {command} connection failed\n"));
        assert_eq!(place.run("zerotier-cli", &[command, argument]), expected);
    }
    assert_eq!(place.run("zerotier-cli", &["-v"]), stdout(0, "1.14.1\n"));
    assert_eq!(place.run("zerotier-cli", &["-h"]).code, 0);
    assert_eq!(place.run("zerotier-cli", &["-p0"]).code, 1);
}

#[test]
fn answers_that_are_no_json_are_named() {
    let daemon = FakeDaemon::start(&[("GET /status", 200, "hello")]);
    let said = daemon.run("zerotier-cli", &["info"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stdout.starts_with("200 info invalid JSON response ("),
        "{said:?}"
    );
    let said = daemon.run("hawser", &["info"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("is not the service"), "{said:?}");
}

#[test]
fn dump_writes_a_file() {
    let daemon = daemon();
    daemon.place.write("local.conf", "{\"settings\":{}}");
    let path = daemon.place.path("zerotier_dump.txt");
    let said = daemon.run("zerotier-cli", &["dump"]);
    assert_eq!(
        said,
        stdout(0, &format!("Writing dump to: {}\n", path.display()))
    );
    let text = daemon.place.read("zerotier_dump.txt");
    assert!(
        text.starts_with("platform: Linux\nzerotier version: 1.14.1\n"),
        "{text}"
    );
    for part in [
        format!("\nstatus\n------\n{STATUS}\n"),
        format!("\nnetworks\n--------\n{NETWORKS}\n"),
        format!("\npeers\n-----\n{PEERS}\n"),
        "\nlocal.conf\n----------\n{\"settings\":{}}\n".to_owned(),
        "\nNetwork Interfaces\n------------------\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{part} is not in {text}");
    }
    let said = daemon.run("zerotier-cli", &["-Twrong", "dump"]);
    assert_eq!(
        said,
        stdout(1, &UNREACHABLE.replace("connection failed", "{}"))
    );
}
