//! Moons and planets: the description that a person edits, and the signed file made of it (service specification D.7, H).

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::Identity;
use protocol::world::{MAX_ENDPOINTS, MAX_ROOTS, Root, World, WorldKind};
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{Tool, identity_text};
use crate::json;
use crate::outcome::Outcome;

type Answer = Result<Outcome, Outcome>;

/// `initmoon <identity>`
pub(super) fn initialise(tool: &Tool<'_>) -> Answer {
    let argument = tool.required(1, "the identity of the moon's first root", 0)?;
    let identity: Identity = identity_text(argument)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| tool.failure(&format!("{argument} is not a valid identity")))?;
    let mut random: StdRng = rand::make_rng();
    let (public, secret) = World::generate_signing_key(&mut random);
    Ok(Outcome::ok(json::pretty(&json!({
        "id": identity.address().to_string(),
        "objtype": "world",
        "roots": [{"identity": identity.to_string(), "stableEndpoints": []}],
        "signingKey": hex::encode(public),
        "signingKey_SECRET": hex::encode(secret),
        "updatesMustBeSignedBy": hex::encode(public),
        "worldType": "moon",
    }))))
}

/// `genmoon <moon.json>`: writes into the current directory.
pub(super) fn generate(tool: &Tool<'_>) -> Answer {
    let file = tool.required(1, "the moon's description, a JSON file", 1)?;
    let text = std::fs::read(file).map_err(|_| tool.failure(&format!("cannot read {file}")))?;
    let description: Value = serde_json::from_slice(&text)
        .map_err(|error| tool.failure(&format!("{file} is not valid JSON: {error}")))?;
    let timestamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0));
    let world = build(&description, file, timestamp).map_err(|error| tool.failure(&error))?;
    let name = format!("{:016x}.moon", world.id);
    std::fs::write(&name, world.to_bytes())
        .map_err(|error| tool.failure(&format!("cannot write {name}: {error}")))?;
    Ok(Outcome::ok(format!(
        "wrote {name} (signed world with timestamp {timestamp})\n"
    )))
}

/// The signed world that a description describes; otherwise what is wrong with it. `file` is its name in messages.
fn build(description: &Value, file: &str, timestamp: u64) -> Result<World, String> {
    let id = u64::from_str_radix(json::text(description, "id"), 16).unwrap_or(0);
    if id == 0 {
        return Err(format!("ID in {file} is invalid"));
    }
    let kind = match json::text(description, "worldType") {
        "moon" => WorldKind::Moon,
        "planet" => WorldKind::Planet,
        _ => return Err("invalid worldType".to_owned()),
    };
    let mut roots = json::list(description, "roots")
        .iter()
        .map(|root| read_root(root, file))
        .collect::<Result<Vec<_>, _>>()?;
    if roots.is_empty() || roots.len() > MAX_ROOTS {
        return Err(format!(
            "{file} has {} roots; a world has 1 to {MAX_ROOTS}",
            roots.len()
        ));
    }
    roots.sort_by_key(|root| root.identity.address());
    let doubled = roots
        .windows(2)
        .find(|pair| pair[0].identity.address() == pair[1].identity.address());
    if let Some(pair) = doubled {
        return Err(format!(
            "{file} lists root {} twice",
            pair[0].identity.address()
        ));
    }
    let secret = key(description, "signingKey_SECRET", file)?;
    let public = key(description, "signingKey", file)?;
    let next = key(description, "updatesMustBeSignedBy", file)?;
    if World::public_signing_key(&secret) != public {
        return Err(format!(
            "signingKey_SECRET in {file} does not belong to its signingKey"
        ));
    }
    Ok(World::sign(kind, id, timestamp, next, roots, &secret))
}

fn key(description: &Value, name: &str, file: &str) -> Result<[u8; 64], String> {
    let mut key = [0; 64];
    hex::decode_to_slice(json::text(description, name), &mut key)
        .map(|()| key)
        .map_err(|_| format!("{name} in {file} is missing or not 128 hexadecimal digits"))
}

fn read_root(root: &Value, file: &str) -> Result<Root, String> {
    let text = json::text(root, "identity");
    let identity: Identity = text
        .parse()
        .map_err(|error| format!("identity of a root in {file} is invalid: {error}"))?;
    let address = identity.address();
    let mut endpoints = json::list(root, "stableEndpoints")
        .iter()
        .map(|endpoint| {
            endpoint.as_str().and_then(read_endpoint).ok_or_else(|| {
                format!("stable endpoint {endpoint} of root {address} in {file} is not of the form \"IP/port\"")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    endpoints.sort();
    endpoints.dedup();
    if endpoints.len() > MAX_ENDPOINTS {
        return Err(format!(
            "root {address} in {file} has more than {MAX_ENDPOINTS} stable endpoints"
        ));
    }
    Ok(Root {
        identity,
        endpoints,
    })
}

/// `10.0.0.1/9993`, `fd00::1/9993`
fn read_endpoint(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.trim().split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let port: u16 = port.parse().ok()?;
    (port != 0).then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "2f99035e93:0:6cf8aa205dd1913ed5fe86dd7c2f997745fd621c8e31efcc8f48c4f0e7ded463e3eb37ddfe4a1aaa8c432557e1e0a66982ed1544497a4abcad37190f38442064";

    fn description() -> Value {
        let secret = [7; 64];
        let public = hex::encode(World::public_signing_key(&secret));
        json!({"id": "2f99035e93", "objtype": "world", "worldType": "moon", "signingKey": public,
            "signingKey_SECRET": hex::encode(secret), "updatesMustBeSignedBy": public,
            "roots": [{"identity": ROOT, "stableEndpoints": ["10.0.0.9/9993", "10.0.0.1/9993", "fd00::1/99"]}]})
    }

    #[test]
    fn signed_worlds_have_their_sizes_and_verify() {
        let mut description = description();
        let moon = build(&description, "m", 5).unwrap();
        let public = World::public_signing_key(&[7; 64]);
        assert!(moon.is_signed_by(&public));
        assert_eq!((moon.id, moon.timestamp), (0x2f_9903_5e93, 5));
        let endpoints: Vec<_> = moon.roots[0]
            .endpoints
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            endpoints,
            ["10.0.0.1:9993", "10.0.0.9:9993", "[fd00::1]:99"]
        );

        description["roots"][0]["stableEndpoints"] = json!([]);
        assert_eq!(build(&description, "m", 5).unwrap().to_bytes().len(), 252);
        description["worldType"] = json!("planet");
        description["roots"][0]["stableEndpoints"] = json!(["10.0.0.1/9993"]);
        assert_eq!(build(&description, "m", 5).unwrap().to_bytes().len(), 257);
    }

    #[test]
    fn mistakes_are_named() {
        for (path, value, part) in [
            ("/id", json!("xyz"), "ID in m is invalid"),
            ("/worldType", json!("comet"), "invalid worldType"),
            ("/roots", json!([]), "0 roots"),
            ("/roots/0/identity", json!("abc"), "identity of a root"),
            (
                "/roots/0/stableEndpoints/0",
                json!("10.0.0.1:9993"),
                "\"10.0.0.1:9993\" of root 2f99035e93",
            ),
            (
                "/signingKey",
                json!(hex::encode([1; 64])),
                "does not belong",
            ),
            ("/signingKey_SECRET", json!("12"), "signingKey_SECRET in m"),
            (
                "/updatesMustBeSignedBy",
                json!(null),
                "updatesMustBeSignedBy in m",
            ),
        ] {
            let mut description = description();
            *description.pointer_mut(path).unwrap() = value;
            let error = build(&description, "m", 5).unwrap_err();
            assert!(error.contains(part), "{path}: {error}");
        }
    }
}
