//! Under its own name, and under that of the daemon.

use crate::lab::{NETWORK, daemon, stdout};
use crate::support::Place;

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
    let fails = |code: i32, parts: [&str; 2]| {
        let said = place.run("hawser", &["info"]);
        assert_eq!(said.code, code, "{said:?}");
        for part in parts {
            assert!(said.stderr.contains(part), "{part}: {said:?}");
        }
    };
    fails(2, ["zerotier-one.port", "hawserd"]);
    place.write("zerotier-one.port", "1\n");
    fails(2, ["authtoken.secret", "-T<token>"]);
    place.write("authtoken.secret", "t");
    fails(1, ["does not answer", "Is hawserd running?"]);

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
