//! `world.json`: planets and moons, their signatures, and which replaces which.

use std::collections::BTreeMap;

use protocol::endpoint::{endpoint_text, parse_endpoint};
use protocol::world::{Root, World, WorldKind};
use protocol::{Reader, Signature};
use serde_json::Value;

use crate::load::{array, boolean, bytes, json, list, number, string};

const FILE: &str = "world.json";

fn id(case: &Value) -> u64 {
    u64::from_be_bytes(array(case, "id"))
}

fn kind(case: &Value) -> WorldKind {
    match number(case, "type") {
        0 => WorldKind::Null,
        1 => WorldKind::Planet,
        127 => WorldKind::Moon,
        other => panic!("type {other}"),
    }
}

fn roots(case: &Value) -> Vec<Root> {
    let roots = case["roots"].as_array().expect("a list of roots").iter();
    let endpoints = |root: &Value| {
        let endpoints = root["endpoints"]
            .as_array()
            .expect("a list of endpoints")
            .iter();
        endpoints
            .map(|e| parse_endpoint(e.as_str().expect("a text")).unwrap())
            .collect()
    };
    let root = |root: &Value| Root {
        identity: string(root, "identity").parse().unwrap(),
        endpoints: endpoints(root),
    };
    roots.map(root).collect()
}

fn world(case: &Value) -> World {
    World {
        kind: kind(case),
        id: id(case),
        timestamp: number(case, "timestamp"),
        updates_must_be_signed_by: array(case, "updates_must_be_signed_by"),
        signature: Signature(array(case, "signature")),
        roots: roots(case),
    }
}

#[test]
fn worlds_are_written_read_and_signed() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "worlds") {
        let name = string(case, "name");
        let world = world(case);
        assert_eq!(world.to_bytes(), bytes(case, "serialized"), "{name}");
        assert_eq!(world.signed_bytes(), bytes(case, "signed_bytes"), "{name}");
        let serialized = bytes(case, "serialized");
        let mut reader = Reader::new(&serialized);
        assert_eq!(World::decode(&mut reader).as_ref(), Ok(&world), "{name}");
        assert!(reader.is_empty(), "{name}");
        let expected = case["roots"].as_array().expect("a list of roots");
        assert_eq!(world.roots.len(), expected.len(), "{name}");
        for (root, expected) in world.roots.iter().zip(expected) {
            let endpoints: Vec<_> = root.endpoints.iter().copied().map(endpoint_text).collect();
            assert_eq!(expected["endpoints"], Value::from(endpoints), "{name}");
        }
        let keys = data["keys"].as_object().expect("keys by name");
        let signed_with = case["signed_with"].as_str();
        for (key, halves) in keys {
            let verifies = world.is_signed_by(&array(halves, "public"));
            assert_eq!(verifies, signed_with == Some(key), "{name} by {key}");
        }
        let Some(key) = signed_with else { continue };
        let secret = array(&keys[key], "private");
        assert_eq!(
            World::public_signing_key(&secret),
            array(&keys[key], "public")
        );
        let again = World::sign(
            world.kind,
            world.id,
            world.timestamp,
            world.updates_must_be_signed_by,
            world.roots.clone(),
            &secret,
        );
        assert_eq!(again, world, "{name}");
    }
}

#[test]
fn only_the_right_world_replaces_another() {
    let Some(data) = json(FILE) else { return };
    let worlds: BTreeMap<_, _> = list(&data, "worlds")
        .iter()
        .map(|case| (string(case, "name"), world(case)))
        .collect();
    for case in list(&data, "updates") {
        let current = &worlds[string(case, "current")];
        let candidate = &worlds[string(case, "candidate")];
        assert_eq!(
            current.is_replaced_by(candidate),
            boolean(case, "replaced"),
            "{case}"
        );
    }
}

#[test]
fn odd_worlds() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "parse") {
        let what = string(case, "what");
        let serialized = bytes(case, "bytes");
        let mut reader = Reader::new(&serialized);
        let result = World::decode(&mut reader);
        assert_eq!(result.is_ok(), boolean(case, "ok"), "{what}");
        if let Ok(world) = result {
            // The reference counts a promised dictionary beyond the end; a reader stops there.
            let consumed = number(case, "consumed").min(serialized.len() as u64);
            assert_eq!(reader.position() as u64, consumed, "{what}");
            assert_eq!(world.roots.len() as u64, number(case, "roots"), "{what}");
            assert_eq!(world.kind, kind(case), "{what}");
        }
    }
}
