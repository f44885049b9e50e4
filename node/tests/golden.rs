//! What an unmodified node answered, put to ours. The data is read from `$HAWSER_VECTORS`.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use node::io::{Command, Input, Link, LinkId, Output, PathKey, StateObject, Transmit};
use node::snapshot::Snapshot;
use node::{Node, snapshot};
use protocol::packet::{self, PAYLOAD_OFFSET, PacketView, VERB_OFFSET};
use protocol::verb::{Hello, OkHello};
use protocol::world::{Root, World, WorldKind};
use protocol::{
    Identity, Instant, PacketId, Reader, SecretIdentity, SessionKeys, Suite, Verb, WallClock,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

/// None, said aloud, if the data is not there.
fn vectors(file: &str) -> Option<Value> {
    let folder = std::env::var_os("HAWSER_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
        println!("skipped: {file} is not in {}", folder.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A node on one link, its clock, and what came out of it.
struct Bench {
    node: Node,
    now: Instant,
    snapshot: Option<std::sync::Arc<Snapshot>>,
    files: Vec<StateObject>,
}

const LINK: LinkId = LinkId(1);

impl Bench {
    fn new(identity: SecretIdentity, planet: World, local: &str) -> Self {
        let now = Instant::from_millis(1_000_000);
        let wall = WallClock::new(now, 1_700_000_000_000);
        let mut bench = Self {
            node: Node::new(identity, planet, [7; 32], now, wall),
            now,
            snapshot: None,
            files: Vec::new(),
        };
        let link = Link {
            id: LINK,
            local: at(local),
            interface: "eth0".into(),
            hardware_address: None,
        };
        bench.give(Input::Command(Command::SetLinks(vec![link])));
        bench
    }

    fn give(&mut self, input: Input<'_>) -> Vec<Transmit> {
        self.node.handle(self.now, input);
        let mut sent = Vec::new();
        loop {
            match self.node.poll() {
                Output::Timeout(_) => return sent,
                Output::Transmit(transmit) => sent.push(transmit),
                Output::Publish(snapshot) => self.snapshot = Some(snapshot),
                Output::Persist { object, .. } => self.files.push(object),
                _ => {}
            }
        }
    }

    fn datagram(&mut self, from: &str, bytes: &[u8]) -> Vec<Transmit> {
        let path = PathKey {
            link: LINK,
            remote: at(from),
        };
        self.give(Input::Datagram { path, bytes })
    }

    /// Lets time pass; what comes of it is not looked at.
    fn wait(&mut self, millis: u64) {
        for _ in 0..millis / 100 {
            self.now = self.now + Duration::from_millis(100);
            self.give(Input::Tick);
        }
    }
}

#[test]
fn reactions_are_those_of_an_unmodified_node() {
    let Some(data) = vectors("verbs.json") else {
        return;
    };
    let reactions = &data["reactions"];
    let secret = |name: &str| -> SecretIdentity {
        reactions["identities"][name]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let (a, b) = (secret("a"), secret("b"));
    let keys = SessionKeys::new(&a.agree(b.public()));
    let cases = reactions["cases"].as_array().unwrap();
    let find = |start: &str| {
        let is_it = |c: &&Value| c["what"].as_str().unwrap().starts_with(start);
        cases.iter().find(is_it).unwrap()
    };
    let planet = {
        let answered = bytes(&find("HELLO, complete, older planet")["out"][0]["plain"]);
        let ok = OkHello::decode(&answered[10..]).unwrap();
        World::decode(&mut Reader::new(&ok.worlds)).unwrap()
    };
    let mut bench = Bench::new(b, planet, "10.0.0.2:9993");
    let from = "10.0.0.1:9993";
    bench.datagram(from, &bytes(&find("HELLO to restore")["in"]));
    bench.wait(1000);

    let mut compared = 0;
    for case in cases {
        let what = case["what"].as_str().unwrap();
        // These need a joined network with members, or an embedded controller.
        let vl2 = ["MULTICAST", "EXT_FRAME", "NETWORK_CONFIG"];
        if vl2.iter().any(|verb| what.starts_with(verb)) {
            continue;
        }
        bench.wait(3000);
        let sent = bench.datagram(from, &bytes(&case["in"]));
        let answers: Vec<Transmit> = sent.into_iter().filter(|t| t.to == at(from)).collect();
        compared += 1;
        if what.starts_with("HELLO whose source address belongs") {
            // Sealed with keys of an identity whose secret we do not have: ERROR, in-re verb, id and code, in Salsa20.
            assert_eq!(answers.len(), 1, "{what}");
            assert_eq!(answers[0].bytes.len(), PAYLOAD_OFFSET + 10, "{what}");
            let view = PacketView::new(&answers[0].bytes).unwrap();
            assert_eq!(view.suite(), Some(Suite::Salsa20Poly1305), "{what}");
            continue;
        }
        let opened: Vec<(u8, Vec<u8>)> = answers
            .into_iter()
            .map(|t| {
                let mut packet = t.bytes;
                let suite = PacketView::new(&packet).unwrap().suite().unwrap() as u8;
                keys.open(&mut packet).unwrap();
                packet::decompress(&mut packet).unwrap();
                (suite, packet[VERB_OFFSET..].to_vec())
            })
            // The confirmation of a path, which the recorded node had already learned.
            .filter(|(_, plain)| plain[0] != Verb::Hello as u8)
            .collect();
        if what.starts_with("13 byte announcement") {
            assert_eq!(opened, [(3, vec![0])], "{what}");
            continue;
        }
        let expected: Vec<(u8, Vec<u8>)> = case["out"]
            .as_array()
            .unwrap()
            .iter()
            .map(|out| (out["suite"].as_u64().unwrap() as u8, bytes(&out["plain"])))
            .collect();
        assert_eq!(opened, expected, "{what}");
        let heard = snapshot_entry(&bench, a.address()).activity.received.get() == Some(bench.now);
        assert_eq!(
            heard,
            case["counted_as_received"].as_bool().unwrap(),
            "{what}"
        );
    }
    assert!(compared > 20, "only {compared} cases");
}

fn snapshot_entry(bench: &Bench, peer: protocol::Address) -> &snapshot::PeerEntry {
    bench.snapshot.as_ref().unwrap().peer(peer).unwrap()
}

#[test]
fn worlds_are_taken_from_whom_an_unmodified_node_takes_them() {
    let Some(data) = vectors("world.json") else {
        return;
    };
    let mut rng = StdRng::seed_from_u64(1);
    let root = SecretIdentity::generate(&mut rng);
    let ordinary = SecretIdentity::generate(&mut rng);
    let me = SecretIdentity::generate(&mut rng);
    let roots = vec![Root {
        identity: root.public().clone(),
        endpoints: vec![at("10.77.1.1:9993")],
    }];
    let signing_key = |name: &Value, half: &str| -> [u8; 64] {
        bytes(&data["keys"][name.as_str().unwrap()][half])
            .try_into()
            .unwrap()
    };
    // The recorded worlds name roots whose secrets are not recorded: the same worlds with a root of ours.
    let world = |name: &Value| -> World {
        let mut worlds = data["worlds"].as_array().unwrap().iter();
        let recorded = worlds.find(|w| w["name"] == *name).unwrap();
        let altered = recorded["signed_with"].is_null();
        let signed_with = if altered {
            &Value::from("k1")
        } else {
            &recorded["signed_with"]
        };
        let mut world = World::sign(
            WorldKind::Planet,
            u64::from_str_radix(recorded["id"].as_str().unwrap(), 16).unwrap(),
            recorded["timestamp"].as_u64().unwrap(),
            bytes(&recorded["updates_must_be_signed_by"])
                .try_into()
                .unwrap(),
            roots.clone(),
            &signing_key(signed_with, "private"),
        );
        if altered {
            world.roots[0].endpoints[0].set_port(1);
        }
        world
    };
    let cases = data["node_acceptance"].as_array().unwrap();
    for case in cases {
        let has = world(&case["has"]);
        let offered = world(&case["offered"]);
        let mut bench = Bench::new(me.clone(), has.clone(), "10.77.2.1:9993");
        let (sender, from) = match case["sender"].as_str().unwrap() {
            "an ordinary node" => (&ordinary, "10.77.3.1:9993"),
            _ => (&root, "10.77.1.1:9993"),
        };
        let mut hellos = Vec::new();
        bench.now = bench.now + Duration::from_secs(6);
        hellos.extend(bench.give(Input::Tick));
        hellos.extend(bench.give(Input::Command(Command::LoadPeer {
            identity: ordinary.public().clone(),
            endpoints: vec![at("10.77.3.1:9993")],
        })));
        let hello = hellos.iter().find(|t| t.to == at(from)).unwrap();
        let ok = answer(sender, me.public(), &hello.bytes, &offered);
        bench.datagram(from, &ok);
        let taken = bench.node.status().planet_timestamp == offered.timestamp
            && bench.node.status().planet_id == offered.id
            && offered != has;
        assert_eq!(taken, case["taken"].as_bool().unwrap(), "{case}");
        assert_eq!(taken, bench.files.contains(&StateObject::Planet), "{case}");
    }
    assert!(cases.len() >= 8);
}

#[test]
fn fragments_join_as_in_an_unmodified_node() {
    let Some(data) = vectors("fragments.json") else {
        return;
    };
    let secret = |name: &str| -> SecretIdentity {
        data["identities"][name].as_str().unwrap().parse().unwrap()
    };
    let (a, b) = (secret("a"), secret("b"));
    let packets = data["packets"].as_array().unwrap();
    let datagrams = |packet: &Value| -> Vec<Vec<u8>> {
        let packet = &packets[packet.as_u64().unwrap() as usize];
        packet["datagrams"]
            .as_array()
            .unwrap()
            .iter()
            .map(bytes)
            .collect()
    };
    let deliver = |datagrams: &[Vec<u8>]| -> u64 {
        let mut bench = Bench::new(b.clone(), World::default_planet(), "10.0.0.2:9993");
        bench.give(Input::Command(Command::LoadPeer {
            identity: a.public().clone(),
            endpoints: vec![],
        }));
        for datagram in datagrams {
            bench.datagram("10.0.0.1:9993", datagram);
        }
        bench.node.status().counters.received[Verb::UserMessage as usize]
    };
    for (index, packet) in packets.iter().enumerate() {
        let times = deliver(&datagrams(&Value::from(index)));
        assert_eq!(
            times == 1,
            packet["delivered"].as_bool().unwrap(),
            "packet {index}"
        );
    }
    for case in data["orders"].as_array().unwrap() {
        let all = datagrams(&case["packet"]);
        let order = case["order"].as_array().unwrap().iter();
        let given: Vec<_> = order
            .map(|i| all[i.as_u64().unwrap() as usize].clone())
            .collect();
        assert_eq!(deliver(&given), case["times"].as_u64().unwrap(), "{case}");
    }
    for case in data["variants"].as_array().unwrap() {
        let mut given = datagrams(&case["packet"]);
        if let Ok(index) = usize::try_from(case["datagram"].as_i64().unwrap()) {
            given[index] = bytes(&case["bytes"]);
        }
        let delivered = deliver(&given) == 1;
        assert_eq!(
            delivered,
            case["delivered"].as_bool().unwrap(),
            "{}",
            case["what"]
        );
    }
}

/// OK(HELLO) that offers a world.
fn answer(sender: &SecretIdentity, to: &Identity, hello: &[u8], offered: &World) -> Vec<u8> {
    let view = PacketView::new(hello).unwrap();
    let (asked, _) = Hello::decode(view.payload()).unwrap();
    let mut answer = vec![0; PAYLOAD_OFFSET];
    packet::write_header(
        &mut answer,
        PacketId(0x1234_5678_9abc_def0),
        to.address(),
        sender.address(),
        Verb::Ok,
    );
    answer.push(Verb::Hello as u8);
    answer.extend(view.id().0.to_be_bytes());
    OkHello {
        timestamp_echo: asked.timestamp,
        protocol_version: 12,
        software_version: (1, 14, 1),
        received_from: None,
        worlds: offered.to_bytes(),
        features: None,
    }
    .encode(&mut answer);
    SessionKeys::new(&sender.agree(to)).seal(&mut answer, Suite::AesGmacSiv);
    answer
}
