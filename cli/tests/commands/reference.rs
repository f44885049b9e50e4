//! The same orders to the reference's tool.

use crate::lab::{BOND, STATUS, TO_ORDERS};
use crate::support::FakeDaemon;

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
    let answers = [
        ("GET /status", 200, STATUS),
        ("GET /network", 200, MANY_NETWORKS),
        ("GET /peer", 200, &peers),
        (
            "GET /moon",
            200,
            r#"[{"id":"0000004b3e5f84e8","roots":[],"waiting":false}]"#,
        ),
        ("GET /bond/show/caf20f3e73", 200, BOND),
        ("GET /bond/show/62f865ae71", 400, "{}"),
    ];
    let daemon = FakeDaemon::start(&[&answers[..], &TO_ORDERS].concat());
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
