//! The real program against a service that answers from a table (service specification D).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{FakeDaemon, Place, Said};

const NETWORK: &str = "4b3e5f84e842c20d";
const STATUS: &str =
    r#"{"version":"1.14.1","address":"5cd0ba70f5","online":true,"tcpFallbackActive":false}"#;
const NETWORKS: &str = r#"[{"allowManaged":true,"assignedAddresses":["10.79.50.29/24"],"id":"4b3e5f84e842c20d","mac":"0e:9e:92:52:f4:aa","mtu":2800,"name":"lab net","nwid":"4b3e5f84e842c20d","portDeviceName":"ztz7lb2rxf","routes":[],"status":"OK","type":"PRIVATE"}]"#;
const PEERS: &str = r#"[{"address":"62f865ae71","isBonded":false,"latency":-1,"paths":[],"role":"PLANET","tunneled":false,"version":"-1.-1.-1"}]"#;
const UNREACHABLE: &str = "Error connecting to the ZeroTier service: connection failed\n\nPlease check that the service is running and that TCP port 9993 can be contacted via 127.0.0.1.\n";

fn daemon() -> FakeDaemon {
    FakeDaemon::start(&[
        ("GET /status", 200, STATUS),
        ("GET /network", 200, NETWORKS),
        ("GET /peer", 200, PEERS),
        ("GET /moon", 200, "[]"),
        (
            "POST /network/4b3e5f84e842c20d",
            200,
            r#"{"id":"4b3e5f84e842c20d"}"#,
        ),
        (
            "DELETE /network/4b3e5f84e842c20d",
            200,
            r#"{"result":true}"#,
        ),
        ("DELETE /network/0000000000000001", 200, "{}"),
        ("POST /moon/4b3e5f84e8", 200, r#"{"id":"0000004b3e5f84e8"}"#),
        ("DELETE /moon/4b3e5f84e8", 200, r#"{"result":true}"#),
        ("GET /bond/show/caf20f3e73", 400, "{}"),
        ("POST /bond/rotate/caf20f3e73", 200, "{}"),
        ("POST /bond/rotate/62f865ae71", 400, "{}"),
        ("POST /bond/setmtu/1400/eth0/10.0.0.1", 200, "{}"),
        (
            "POST /bond/setmtu/1400/eth1/10.0.0.1",
            400,
            "Unable to find specified link",
        ),
        ("GET /nonsense", 200, "not json"),
    ])
}

fn stdout(code: i32, text: &str) -> Said {
    Said {
        stdout: text.to_owned(),
        stderr: String::new(),
        code,
    }
}

fn stderr(code: i32, text: &str) -> Said {
    Said {
        stdout: String::new(),
        stderr: text.to_owned(),
        code,
    }
}

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

#[test]
fn hawser_says_what_to_do() {
    let daemon = daemon();
    for (arguments, code, part) in [
        ("nosuch", 2, "there is no command \"nosuch\""),
        ("join", 2, "join needs the id of a network"),
        ("join 123", 2, "\"123\" is not the id of a network"),
        ("join zzzzzzzzzzzzzzzz", 2, "is not the id of a network"),
        (
            "get 4b3e5f84e842c20d",
            2,
            "get needs the name of a property",
        ),
        (
            "get 4b3e5f84e842c20d nosuch",
            1,
            "is not a property with one value",
        ),
        (
            "get 0000000000000001 status",
            1,
            "not on network 0000000000000001",
        ),
        (
            "leave 0000000000000001",
            1,
            "not on network 0000000000000001",
        ),
        (
            "set 4b3e5f84e842c20d foo=1",
            2,
            "cannot be set; settings are allowManaged",
        ),
        (
            "set 4b3e5f84e842c20d allowDNS",
            2,
            "allowDNS=1 or allowDNS=0",
        ),
        ("set 4b3e5f84e842c20d allowDNS=maybe", 2, "neither 1 nor 0"),
        ("orbit", 2, "orbit needs the id of a moon"),
        ("orbit 4b3e5f84e8 zz", 2, "one of the moon's roots"),
        ("deorbit 123", 2, "not the id of a moon"),
        ("bond", 2, "list, show, rotate or setmtu"),
        ("bond caf20f3e73 show", 1, "no bond with caf20f3e73"),
        ("bond 62f865ae71 rotate", 1, "cannot rotate"),
        (
            "bond setmtu 1400 eth1 10.0.0.1",
            1,
            "Unable to find specified link",
        ),
        ("-Twrong info", 1, "refused the token"),
        ("-x info", 2, "there is no switch -x"),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let said = daemon.run("hawser", &words);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (code, ""),
            "{arguments}: {said:?}"
        );
        assert!(said.stderr.starts_with("hawser: "), "{arguments}: {said:?}");
        assert!(said.stderr.contains(part), "{arguments}: {said:?}");
        assert!(!said.stderr.contains(".."), "{arguments}: {said:?}");
    }
    assert_eq!(
        daemon.run("hawser", &["join", NETWORK]),
        stdout(0, "200 join OK\n")
    );
    assert_eq!(
        daemon.run("hawser", &["info"]),
        stdout(0, "200 info 5cd0ba70f5 1.14.1 ONLINE\n")
    );
}

#[test]
fn hawser_without_a_service_says_what_to_do() {
    let place = Place::new();
    let said = place.run("hawser", &["info"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("zerotier-one.port") && said.stderr.contains("hawserd"),
        "{said:?}"
    );
    place.write("zerotier-one.port", "1\n");
    let said = place.run("hawser", &["info"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("authtoken.secret") && said.stderr.contains("-T<token>"),
        "{said:?}"
    );
    place.write("authtoken.secret", "t");
    let said = place.run("hawser", &["info"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("does not answer") && said.stderr.contains("Is hawserd running?"),
        "{said:?}"
    );

    for arguments in [&["--help"][..], &["help"], &[], &["-h"]] {
        let said = place.run("hawser", arguments);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""));
        assert!(said.stdout.starts_with("Usage: hawser "), "{said:?}");
    }
    assert_eq!(place.run("hawser", &["--version"]), stdout(0, "1.14.1\n"));
}

#[test]
fn under_the_daemons_name_it_runs_the_daemon() {
    let place = Place::new();
    let said = place.run("zerotier-one", &["-v"]);
    // Beside the test program there may be a daemon; without one, the text says where it should be.
    if said.code == 0 {
        assert_eq!(said.stdout, "1.14.1\n");
    } else {
        assert!(
            said.stderr
                .contains("hawserd is neither beside this program nor in PATH"),
            "{said:?}"
        );
    }
    // A copy of the program finds the daemon beside it, and hands on its name and arguments.
    let directory = place.path("bin");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_hawser"), directory.join("zerotier-one")).unwrap();
    let daemon = place.write("bin/hawserd", "#!/bin/sh\necho \"daemon: $*\"\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(daemon, executable).unwrap();
    let said = place.run_program(&directory.join("zerotier-one"), &["-U", "-p9993", "/home"]);
    assert_eq!(said, stdout(0, "daemon: -U -p9993 /home\n"));
}

/// Peers with all that is shown of them; nothing was ever sent, so that no age depends on the clock.
const MANY_PEERS: &str = r#"[
{"address":"4b3e5f84e8","isBonded":false,"latency":22,"role":"MOON","tunneled":false,"version":"1.14.1","versionMajor":1,"versionMinor":14,"versionRev":1,"paths":[
 {"active":true,"address":"10.79.0.1/9993","expired":false,"lastReceive":0,"lastSend":0,"localPort":0,"localSocket":94714026548944,"preferred":false,"trustedPathId":0},
 {"active":true,"address":"10.79.0.1/64776","expired":false,"lastReceive":0,"lastSend":0,"localPort":0,"localSocket":94714026548945,"preferred":true,"trustedPathId":0}]},
{"address":"62f865ae71","isBonded":false,"latency":-1,"role":"PLANET","tunneled":false,"version":"-1.-1.-1","versionMajor":-1,"versionMinor":-1,"versionRev":-1,"paths":[]},
{"address":"aaf20f3e73","isBonded":false,"latency":1234,"role":"LEAF","tunneled":true,"version":"1.14.1","versionMajor":1,"versionMinor":14,"versionRev":1,"paths":[
 {"active":true,"address":"fd00::1/9993","expired":false,"lastReceive":0,"lastSend":0,"localPort":0,"localSocket":94714026548945,"preferred":true,"trustedPathId":0}]},
{"address":"bbf20f3e73","isBonded":false,"latency":5,"role":"LEAF","tunneled":true,"version":"1.6.0","versionMajor":1,"versionMinor":6,"versionRev":0,"paths":[]},
BOND]"#;
const BOND: &str = r#"{"address":"caf20f3e73","bondingPolicyCode":1,"bondingPolicyStr":"active-backup","downDelay":1,"failoverInterval":5000,"isBonded":true,"latency":0,"numAliveLinks":3,"numTotalLinks":4,"packetsPerLink":64,"role":"LEAF","tunneled":false,"upDelay":2,"version":"1.14.1","versionMajor":1,"versionMinor":14,"versionRev":1,"paths":[
 {"active":true,"address":"10.79.0.3/9993","assignedFlowCount":7,"bonded":1,"eligible":1,"expired":false,"givenLinkSpeed":1000,"ifname":"eth0","lastInAge":20,"lastOutAge":30,"lastReceive":0,"lastSend":0,"latencyMean":1.2345,"latencyVariance":0.5,"localPort":9993,"localSocket":94714026548944,"packetErrorRatio":0.0,"packetLossRatio":0.0,"preferred":true,"relativeQuality":0.33333,"trustedPathId":0},
 {"active":true,"address":"10.79.0.4/9993","assignedFlowCount":0,"bonded":0,"eligible":0,"expired":false,"givenLinkSpeed":0,"ifname":"eth1","lastInAge":1567,"lastOutAge":1567,"lastReceive":0,"lastSend":0,"latencyMean":0.0,"latencyVariance":0.0,"localPort":9993,"localSocket":94714026547660,"packetErrorRatio":0.0,"packetLossRatio":0.0,"preferred":false,"relativeQuality":0.0,"trustedPathId":0}]}"#;
const MANY_NETWORKS: &str = r#"[{"allowDNS":false,"allowDefault":false,"allowGlobal":false,"allowManaged":true,"assignedAddresses":["fd4b:3e5f:84e8:42c2:d99:935c:d0ba:70f5/88","fca3:7c9d:895c:d0ba:70f5::1/40","10.79.50.29/24"],"bridge":false,"broadcastEnabled":true,"dhcp":false,"dns":{"domain":"lab.example","servers":["10.79.50.53"]},"id":"4b3e5f84e842c20d","mac":"0e:9e:92:52:f4:aa","mtu":2800,"multicastSubscriptions":[{"adi":0,"mac":"01:00:5e:00:00:01"}],"name":"lab net","netconfRevision":4,"nwid":"4b3e5f84e842c20d","portDeviceName":"ztz7lb2rxf","portError":-999,"routes":[{"flags":0,"metric":0,"target":"10.79.50.0/24","via":null}],"status":"OK","type":"PRIVATE"},
{"allowDNS":false,"allowDefault":false,"allowGlobal":false,"allowManaged":true,"assignedAddresses":[],"authenticationExpiryTime":1,"authenticationURL":"https://sso.example/","bridge":false,"broadcastEnabled":true,"dhcp":false,"dns":{"domain":"","servers":[]},"id":"4b3e5f84e842c20e","mac":"0e:9e:92:52:f4:ab","mtu":2800,"multicastSubscriptions":[],"name":"","netconfRevision":0,"nwid":"4b3e5f84e842c20e","portDeviceName":"ztz7lb2rxg","portError":0,"routes":[],"ssoEnabled":true,"status":"AUTHENTICATION_REQUIRED","type":"PRIVATE"}]"#;

/// Where `ZEROTIER_CLI` names the reference's tool, it says the same. Run this in a network namespace of its own.
///
/// Left out, as defects of the reference: it prints negative properties as huge numbers, and `get` with a wrong token
/// ends with a line about an unknown network.
#[test]
fn the_reference_agrees() {
    let Some(reference) = std::env::var_os("ZEROTIER_CLI").map(std::path::PathBuf::from) else {
        println!("skipped: ZEROTIER_CLI names no tool to compare with");
        return;
    };
    let peers = MANY_PEERS.replace("BOND", BOND);
    let daemon = FakeDaemon::start(&[
        ("GET /status", 200, STATUS),
        ("GET /network", 200, MANY_NETWORKS),
        ("GET /peer", 200, &peers),
        (
            "GET /moon",
            200,
            r#"[{"id":"0000004b3e5f84e8","roots":[],"waiting":false}]"#,
        ),
        (
            "POST /network/4b3e5f84e842c20d",
            200,
            r#"{"id":"4b3e5f84e842c20d"}"#,
        ),
        (
            "DELETE /network/4b3e5f84e842c20d",
            200,
            r#"{"result":true}"#,
        ),
        ("POST /moon/4b3e5f84e8", 200, r#"{"id":"0000004b3e5f84e8"}"#),
        ("DELETE /moon/4b3e5f84e8", 200, r#"{"result":true}"#),
        ("GET /bond/show/caf20f3e73", 200, BOND),
        ("GET /bond/show/62f865ae71", 400, "{}"),
        ("POST /bond/rotate/caf20f3e73", 200, "{}"),
        ("POST /bond/rotate/62f865ae71", 400, "{}"),
    ]);
    // The reference does not strip the token.
    daemon.place.write("authtoken.secret", "secret-token");
    let mut wrong = Vec::new();
    for line in [
        "info",
        "status",
        "-j info",
        "peers",
        "-j peers",
        "listpeers",
        "listpeers -j",
        "listnetworks",
        "-j listnetworks",
        "listmoons",
        "-j listmoons",
        "bond list",
        "-j bond list",
        "listbonds",
        "-j listbonds",
        "/status",
        "/peer",
        "/nosuch",
        "join 4b3e5f84e842c20d",
        "-j join 4b3e5f84e842c20d",
        "join 123",
        "join",
        "join zzzzzzzzzzzzzzzz",
        "leave 4b3e5f84e842c20d",
        "-j leave 4b3e5f84e842c20d",
        "leave 123",
        "leave",
        "leave 0000000000000009",
        "orbit 4b3e5f84e8 4b3e5f84e8",
        "-j orbit 4b3e5f84e8 4b3e5f84e8",
        "orbit",
        "orbit 4b3e5f84e8",
        "orbit xx yy",
        "orbit 12zz 34zz",
        "deorbit 4b3e5f84e8",
        "-j deorbit 4b3e5f84e8",
        "deorbit",
        "deorbit 123",
        "get",
        "get 123",
        "get 123 status",
        "get 4b3e5f84e842c20d",
        "get 0000000000000001 status",
        "get 4b3e5f84e842c20d status",
        "get 4b3e5f84e842c20d mtu",
        "get 4b3e5f84e842c20d allowManaged",
        "get 4b3e5f84e842c20d allowDNS",
        "get 4b3e5f84e842c20d name",
        "get 4b3e5f84e842c20d ip",
        "get 4b3e5f84e842c20d ip4",
        "get 4b3e5f84e842c20d ip6",
        "get 4b3e5f84e842c20d ip6plane",
        "get 4b3e5f84e842c20d ip6prefix",
        "get 4b3e5f84e842c20d routes",
        "get 4b3e5f84e842c20d dns",
        "get 4b3e5f84e842c20d nosuch",
        "get 4b3e5f84e842c20e ip",
        "get 4b3e5f84e842c20e ip6prefix",
        "get 4b3e5f84e842c20d mtu status",
        "-j get 4b3e5f84e842c20d mtu",
        "set",
        "set 123",
        "set 4b3e5f84e842c20d",
        "set 4b3e5f84e842c20d foo=1",
        "set 4b3e5f84e842c20d allowDNS=1",
        "set 4b3e5f84e842c20d allowDNS=yes",
        "set 4b3e5f84e842c20d allowGlobal=true",
        "-j set 4b3e5f84e842c20d allowDefault=0",
        "bond caf20f3e73 show",
        "-j bond caf20f3e73 show",
        "bond 62f865ae71 show",
        "bond caf20f3e73 rotate",
        "-j bond caf20f3e73 rotate",
        "bond 62f865ae71 rotate",
        "bond",
        "bond xyz",
        "bond caf20f3e73",
        "bond xyz show",
        "bond caf20f3e73 nosuch",
        "-Twrong info",
        "-Twrong peers",
        "-Twrong join 4b3e5f84e842c20d",
        "-Twrong dump",
        "-Twrong set 4b3e5f84e842c20d allowDNS=1",
        "-Twrong bond list",
        "-Twrong bond caf20f3e73 show",
        "-Twrong listmoons",
        "-Twrong /status",
        "-v",
        "-q info",
        "dump",
        "-p1 info",
        "-p1 peers",
        "-p1 listnetworks",
        "-p1 listmoons",
        "-p1 listpeers",
        "-p1 listbonds",
        "-p1 bond list",
        "-p1 bond caf20f3e73 show",
        "-p1 bond caf20f3e73 rotate",
        "-p1 dump",
        "-p1 get 4b3e5f84e842c20d status",
        "-p1 set 4b3e5f84e842c20d allowDNS=1",
        "-p1 join 4b3e5f84e842c20d",
        "-p1 leave 4b3e5f84e842c20d",
        "-p1 orbit 4b3e5f84e8 4b3e5f84e8",
        "-p1 deorbit 4b3e5f84e8",
        "-p1 /status",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        daemon.asked();
        let ours = (daemon.run("zerotier-cli", &words), daemon.asked());
        let theirs = (daemon.place.run_program(&reference, &words), daemon.asked());
        if ours != theirs {
            wrong.push(format!("{line}\n ours   {ours:?}\n theirs {theirs:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

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
