//! The service, and what programs say.

use crate::support::{Answer, FakeDaemon, Said};

pub(crate) const NETWORK: &str = "4b3e5f84e842c20d";
pub(crate) const STATUS: &str =
    r#"{"version":"1.14.1","address":"5cd0ba70f5","online":true,"tcpFallbackActive":false}"#;
pub(crate) const NETWORKS: &str = r#"[{"allowManaged":true,"assignedAddresses":["10.79.50.29/24"],"id":"4b3e5f84e842c20d","mac":"0e:9e:92:52:f4:aa","mtu":2800,"name":"lab net","nwid":"4b3e5f84e842c20d","portDeviceName":"ztz7lb2rxf","routes":[],"status":"OK","type":"PRIVATE"}]"#;
pub(crate) const PEERS: &str = r#"[{"address":"62f865ae71","isBonded":false,"latency":-1,"paths":[],"role":"PLANET","tunneled":false,"version":"-1.-1.-1"}]"#;
pub(crate) const UNREACHABLE: &str = "Error connecting to the ZeroTier service: connection failed\n\nPlease check that the service is running and that TCP port 9993 can be contacted via 127.0.0.1.\n";

/// What a service says to orders, whatever it knows.
pub(crate) const TO_ORDERS: [Answer<'static>; 6] = [
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
    ("POST /bond/rotate/caf20f3e73", 200, "{}"),
    ("POST /bond/rotate/62f865ae71", 400, "{}"),
];

pub(crate) fn daemon() -> FakeDaemon {
    let answers = [
        ("GET /status", 200, STATUS),
        ("GET /network", 200, NETWORKS),
        ("GET /peer", 200, PEERS),
        ("GET /moon", 200, "[]"),
        ("DELETE /network/0000000000000001", 200, "{}"),
        ("GET /bond/show/caf20f3e73", 400, "{}"),
        ("POST /bond/setmtu/1400/eth0/10.0.0.1", 200, "{}"),
        (
            "POST /bond/setmtu/1400/eth1/10.0.0.1",
            400,
            "Unable to find specified link",
        ),
        ("GET /nonsense", 200, "not json"),
    ];
    FakeDaemon::start(&[&answers[..], &TO_ORDERS].concat())
}

pub(crate) fn stdout(code: i32, text: &str) -> Said {
    Said {
        stdout: text.to_owned(),
        stderr: String::new(),
        code,
    }
}

pub(crate) fn stderr(code: i32, text: &str) -> Said {
    Said {
        stdout: String::new(),
        stderr: text.to_owned(),
        code,
    }
}

pub(crate) const BOND: &str = r#"{"address":"caf20f3e73","bondingPolicyCode":1,"bondingPolicyStr":"active-backup","downDelay":1,"failoverInterval":5000,"isBonded":true,"latency":0,"numAliveLinks":3,"numTotalLinks":4,"packetsPerLink":64,"role":"LEAF","tunneled":false,"upDelay":2,"version":"1.14.1","versionMajor":1,"versionMinor":14,"versionRev":1,"paths":[
 {"active":true,"address":"10.79.0.3/9993","assignedFlowCount":7,"bonded":1,"eligible":1,"expired":false,"givenLinkSpeed":1000,"ifname":"eth0","lastInAge":20,"lastOutAge":30,"lastReceive":0,"lastSend":0,"latencyMean":1.2345,"latencyVariance":0.5,"localPort":9993,"localSocket":94714026548944,"packetErrorRatio":0.0,"packetLossRatio":0.0,"preferred":true,"relativeQuality":0.33333,"trustedPathId":0},
 {"active":true,"address":"10.79.0.4/9993","assignedFlowCount":0,"bonded":0,"eligible":0,"expired":false,"givenLinkSpeed":0,"ifname":"eth1","lastInAge":1567,"lastOutAge":1567,"lastReceive":0,"lastSend":0,"latencyMean":0.0,"latencyVariance":0.0,"localPort":9993,"localSocket":94714026547660,"packetErrorRatio":0.0,"packetLossRatio":0.0,"preferred":false,"relativeQuality":0.0,"trustedPathId":0}]}"#;
