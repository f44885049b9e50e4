//! Golden data of the reference (`$HAWSER_VECTORS`, by default `../shared/vectors` beside the repository): a large
//! configuration in signed chunks, and what a member sends to ask for one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use controller_client::assembly::{Assembly, AssemblyError, MAX_UPDATES, Progress};
use controller_client::{config_request, sign_chunks};
use protocol::dictionary::Dictionary;
use protocol::network_config::{ConfigChunk, MAX_CHUNK_DATA, NetworkConfig, RequestMetadata};
use protocol::verb::NetworkConfigRequest;
use protocol::{Identity, NetworkId, SecretIdentity};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

fn load() -> Option<Value> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let directory =
        std::env::var_os("HAWSER_VECTORS").map_or_else(|| default.into(), PathBuf::from);
    let path = directory.join("netconf.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no golden data at {}", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn the_references_chunks_become_its_configuration() {
    let Some(data) = load() else {
        return;
    };
    let secret: SecretIdentity = data["controller"].as_str().unwrap().parse().unwrap();
    let controller: &Identity = secret.public();
    // Verb, in-re verb, in-re id, then the chunk.
    let messages = data["chunks"]["messages"].as_array().unwrap().iter();
    let chunks: Vec<_> = messages
        .map(|m| ConfigChunk::decode(&bytes(&m["plain"])[10..]).unwrap())
        .collect();
    for trial in data["chunks"]["trials"].as_array().unwrap() {
        let mut assembly = Assembly::new(chunks[0].network);
        let mut complete = None;
        for index in trial["order"].as_array().unwrap() {
            let chunk = &chunks[index.as_u64().unwrap() as usize];
            match assembly.insert(chunk, controller, false).unwrap() {
                Progress::Complete { dictionary, .. } => complete = Some(dictionary),
                Progress::Partial | Progress::Duplicate => {}
            }
        }
        let taken = trial["taken"].as_bool().unwrap();
        assert_eq!(complete.is_some(), taken, "{}", trial["what"]);
        if let Some(dictionary) = complete {
            let config = NetworkConfig::from_dictionary(&Dictionary::decode(&dictionary)).unwrap();
            assert_eq!(config.rules.len() as u64, trial["rules"].as_u64().unwrap());
            // Cutting and signing it again gives the very same bytes: signatures are deterministic.
            let id = chunks[0].signed.as_ref().unwrap().update_id;
            let again = sign_chunks(&secret, chunks[0].network, &dictionary, id, false);
            assert_eq!(again, chunks);
        }
    }
}

#[test]
fn a_request_is_the_references_request() {
    let Some(data) = load() else {
        return;
    };
    let data = &data["request_metadata"];
    let metadata = RequestMetadata {
        platform: "linux/x86_64".into(),
        auth: None,
    };
    let network: NetworkId = data["network"].as_str().unwrap().parse().unwrap();
    let request: NetworkConfigRequest = config_request(network, &metadata, None);
    let mut body = vec![0x0b];
    request.encode(&mut body);
    assert_eq!(body, bytes(&data["request_body_from_verb"]));
}

const NETWORK: NetworkId = NetworkId(0x0102_0304_0500_0001);

fn dictionary(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'a' + (n % 26) as u8).collect()
}

fn controller() -> SecretIdentity {
    SecretIdentity::generate(&mut StdRng::seed_from_u64(7))
}

#[test]
fn chunks_in_any_order_with_repeats_make_the_whole_once() {
    let secret = controller();
    let whole = dictionary(3 * MAX_CHUNK_DATA + 1);
    let chunks = sign_chunks(&secret, NETWORK, &whole, 5, false);
    assert_eq!(chunks.len(), 4);
    let mut assembly = Assembly::new(NETWORK);
    for index in [3, 1, 1, 0] {
        let progress = assembly.insert(&chunks[index], secret.public(), false);
        assert!(matches!(
            progress,
            Ok(Progress::Partial | Progress::Duplicate)
        ));
    }
    let expected = Progress::Complete {
        dictionary: whole,
        update_id: 5,
    };
    let last = &chunks[2];
    assert_eq!(assembly.insert(last, secret.public(), false), Ok(expected));
    let again = assembly.insert(last, secret.public(), false);
    assert_eq!(again, Ok(Progress::Duplicate));
}

#[test]
fn what_is_not_the_controllers_is_refused() {
    let secret = controller();
    let other = SecretIdentity::generate(&mut StdRng::seed_from_u64(8));
    let genuine = sign_chunks(&secret, NETWORK, &dictionary(100), 5, false).remove(0);
    let mut assembly = Assembly::new(NETWORK);
    let mut insert = |chunk: &ConfigChunk, from_controller| {
        assembly.insert(chunk, secret.public(), from_controller)
    };

    let forged = sign_chunks(&other, NETWORK, &dictionary(100), 5, false).remove(0);
    assert_eq!(insert(&forged, true), Err(AssemblyError::BadSignature));

    let mut changed = genuine.clone();
    changed.data[0] ^= 1;
    assert_eq!(insert(&changed, false), Err(AssemblyError::BadSignature));

    let mut beyond = genuine.clone();
    beyond.signed.as_mut().unwrap().index = 1;
    assert_eq!(insert(&beyond, false), Err(AssemblyError::OutOfBounds));

    let mut nameless = genuine.clone();
    nameless.signed.as_mut().unwrap().update_id = 0;
    assert_eq!(insert(&nameless, false), Err(AssemblyError::ZeroUpdateId));

    let mut elsewhere = genuine.clone();
    elsewhere.network = NetworkId(1);
    assert_eq!(insert(&elsewhere, false), Err(AssemblyError::WrongNetwork));

    let mut unsigned = genuine.clone();
    unsigned.signed = None;
    assert_eq!(insert(&unsigned, false), Err(AssemblyError::Unsigned));
    assert!(matches!(
        insert(&unsigned, true),
        Ok(Progress::Complete { .. })
    ));
    assert!(matches!(
        insert(&genuine, false),
        Ok(Progress::Complete { .. })
    ));
}

#[test]
fn a_fourth_update_replaces_the_one_that_was_quiet_longest() {
    let secret = controller();
    let whole = dictionary(MAX_CHUNK_DATA + 1);
    let update = |id: u64| sign_chunks(&secret, NETWORK, &whole, id, false);
    let mut assembly = Assembly::new(NETWORK);
    for id in 1..=MAX_UPDATES as u64 + 1 {
        let progress = assembly.insert(&update(id)[0], secret.public(), false);
        assert_eq!(progress, Ok(Progress::Partial));
    }
    // The first is forgotten, so its second half completes nothing; the last is complete.
    let first = assembly.insert(&update(1)[1], secret.public(), false);
    assert_eq!(first, Ok(Progress::Partial));
    let last = assembly.insert(&update(4)[1], secret.public(), false);
    assert!(matches!(last, Ok(Progress::Complete { .. })));
}
