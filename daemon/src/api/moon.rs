//! `/moon`.

use std::fmt::Write as _;

use protocol::Address;
use protocol::world::World;
use serde_json::{Value, json};

use super::status::endpoint_text;

/// A moon that is held.
pub fn to_json(moon: &World) -> Value {
    let roots: Vec<Value> = moon
        .roots
        .iter()
        .map(|root| {
            let endpoints: Vec<String> = root
                .endpoints
                .iter()
                .map(|endpoint| endpoint_text(*endpoint))
                .collect();
            json!({"identity": root.identity.to_string(), "stableEndpoints": endpoints})
        })
        .collect();
    json!({
        "id": format!("{:016x}", moon.id),
        "roots": roots,
        "signature": hex(&moon.signature.0),
        "timestamp": moon.timestamp,
        "updatesMustBeSignedBy": hex(&moon.updates_must_be_signed_by),
        "waiting": false,
    })
}

/// A moon that was asked for and has not come yet.
pub fn waiting(id: u64) -> Value {
    json!({
        "id": format!("{id:016x}"),
        "roots": [],
        "signature": null,
        "timestamp": 0,
        "updatesMustBeSignedBy": null,
        "waiting": true,
    })
}

/// World ids have 16 digits, but users know them by the 10 digits of an address.
pub fn parse_id(text: &str) -> Option<u64> {
    let valid = [10, 16].contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The seed that a POST names: hex digits, not 0.
pub fn seed(body: &[u8]) -> Option<Address> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let seed = u64::from_str_radix(body.get("seed")?.as_str()?, 16).ok()?;
    (seed != 0).then(|| Address::from_u64(seed))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_moon_as_captured() {
        assert_eq!(
            waiting(0xaa).to_string(),
            r#"{"id":"00000000000000aa","roots":[],"signature":null,"timestamp":0,"updatesMustBeSignedBy":null,"waiting":true}"#
        );
    }

    #[test]
    fn ids_in_both_lengths() {
        assert_eq!(parse_id("4b3e5f84e8"), Some(0x4b_3e5f_84e8));
        assert_eq!(parse_id("0000004B3E5F84E8"), Some(0x4b_3e5f_84e8));
        assert_eq!(parse_id("4b3e5f84"), None);
        assert_eq!(parse_id("+b3e5f84e8"), None);
    }

    #[test]
    fn seeds() {
        assert_eq!(
            seed(br#"{"seed":"4b3e5f84e8"}"#),
            Some(Address::from_u64(0x4b_3e5f_84e8))
        );
        for body in [
            &br#"{"seed":"0"}"#[..],
            br#"{"seed":7}"#,
            b"{}",
            b"",
            b"{bad",
        ] {
            assert_eq!(seed(body), None);
        }
    }
}
