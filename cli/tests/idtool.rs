//! The real program as identity tool: on its own, against golden identities, and against the reference's tool where
//! `ZEROTIER_IDTOOL` names one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};

use protocol::world::{World, WorldKind};
use protocol::{Reader, SecretIdentity};
use serde_json::Value;
use support::{Place, Said};

/// The tool's own name, and the same as a command of hawser.
fn tools() -> [(&'static str, &'static [&'static str]); 2] {
    [("zerotier-idtool", &[]), ("hawser", &["idtool"])]
}

fn idtool(place: &Place, arguments: &[&str]) -> Said {
    place.run("zerotier-idtool", arguments)
}

#[track_caller]
fn succeeds(said: &Said) -> &str {
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    &said.stdout
}

/// Golden identities, or none with a line that says so.
fn golden() -> Option<Value> {
    let directory = std::env::var_os("HAWSER_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    let path = directory.join("identities.json");
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(error) => {
            println!("skipped: {}: {error}", path.display());
            None
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

#[test]
fn generated_identities_are_valid() {
    let place = Place::new();
    let secret = idtool(&place, &["generate"]);
    let secret = succeeds(&secret);
    assert_eq!(secret.len(), 270);
    assert_eq!(idtool(&place, &["validate", secret]).code, 0);

    let said = idtool(&place, &["generate", "s"]);
    assert_eq!(succeeds(&said), "s written\n");
    let said = idtool(&place, &["generate", "s", "p"]);
    assert_eq!(succeeds(&said), "s written\np written\n");
    assert_eq!(idtool(&place, &["getpublic", "s"]).stdout, place.read("p"));
    assert_eq!(
        succeeds(&idtool(&place, &["validate", "p"])),
        "p is a valid identity\n"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(place.path("s")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "a secret is for its owner");

    let said = idtool(&place, &["generate", "/nonexistent/s"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.starts_with("Error writing to /nonexistent/s"),
        "{said:?}"
    );
}

#[test]
fn vanity_addresses_begin_as_wanted() {
    let place = Place::new();
    let said = idtool(&place, &["generate", "s", "p", "a"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (0, "s written\np written\n")
    );
    let address = &place.read("p")[..10];
    assert!(address.starts_with('a'));
    let last = said.stderr.lines().last().unwrap();
    assert_eq!(last, format!("vanity address: found {address} !"));
    for line in said.stderr.lines().rev().skip(1) {
        assert!(line.starts_with("vanity address: tried "), "{line}");
        assert!(
            line.ends_with(" looking for first 4 bits of a000000000"),
            "{line}"
        );
    }
    let said = idtool(&place, &["generate", "x", "y", "ff"]);
    assert_eq!(said.code, 1);
    assert!(!place.path("x").exists());
}

#[test]
fn golden_identities_are_judged_as_by_the_reference() {
    let Some(golden) = golden() else { return };
    let place = Place::new();
    for identity in golden["identities"].as_array().unwrap().iter().take(4) {
        let (public, secret) = (
            text(identity, "public_string"),
            text(identity, "secret_string"),
        );
        // A trailing newline, as editors leave it.
        place.write("identity", format!("{secret}\n"));
        let valid = identity["valid"].as_bool().unwrap();
        for argument in [public, secret, "identity"] {
            let said = idtool(&place, &["validate", argument]);
            assert_eq!(said.code, i32::from(!valid), "{argument}: {said:?}");
            assert_eq!(idtool(&place, &["getpublic", argument]).stdout, public);
        }
    }
    for identity in golden["invalid"].as_array().unwrap() {
        let Some(argument) = identity["text"]
            .as_str()
            .or_else(|| identity["string"].as_str())
        else {
            continue;
        };
        let name = place.write("invalid", argument);
        let said = idtool(&place, &["validate", &name]);
        let valid = identity["valid"].as_bool().unwrap();
        assert_eq!(said.code, i32::from(!valid), "{identity}: {said:?}");
        if !valid {
            let expected = if identity["text_parses"].as_bool().unwrap() {
                format!("{name} FAILED validation.\n")
            } else {
                format!("Identity argument invalid or file unreadable: {name}\n")
            };
            assert_eq!(
                (said.stdout.as_str(), said.stderr),
                ("", expected),
                "{identity}"
            );
        }
    }
}

#[test]
fn signatures_verify_until_something_changes() {
    let place = Place::new();
    idtool(&place, &["generate", "s", "p"]);
    place.write("file", "hello");
    let signature = idtool(&place, &["sign", "s", "file"]).stdout;
    assert_eq!(signature.len(), 192);
    place.write("signature", format!("{signature}\n"));
    for given in [signature.as_str(), "signature"] {
        let said = idtool(&place, &["verify", "p", "file", given]);
        assert_eq!(succeeds(&said), "file signature valid\n");
    }
    place.write("file", "hullo");
    for given in [signature.as_str(), "nosuch", "12"] {
        let said = idtool(&place, &["verify", "p", "file", given]);
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (1, "file signature check FAILED\n")
        );
    }
    for (arguments, expected) in [
        (
            &["sign", "p", "file"][..],
            "p does not contain a private key (must use private to sign)\n",
        ),
        (&["sign", "s", "nosuch"], "nosuch is not readable\n"),
        (
            &["verify", "p", "nosuch", &signature],
            "nosuch is not readable\n",
        ),
        (
            &["getpublic", "nosuch"],
            "Identity argument invalid or file unreadable: nosuch\n",
        ),
    ] {
        let said = idtool(&place, arguments);
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (1, "", expected)
        );
    }
}

/// Makes a moon's description with one endpoint, of the given kind.
fn describe(place: &Place, kind: &str) -> Value {
    idtool(place, &["generate", "s", "p"]);
    let said = idtool(place, &["initmoon", "p"]);
    let mut description: Value = serde_json::from_str(succeeds(&said)).unwrap();
    assert_eq!(description["objtype"], "world");
    assert_eq!(description["id"].as_str(), place.read("p").get(..10));
    assert_eq!(
        description["signingKey"],
        description["updatesMustBeSignedBy"]
    );
    description["worldType"] = kind.into();
    description["roots"][0]["stableEndpoints"] = serde_json::json!(["10.79.0.1/9993"]);
    description
}

#[test]
fn worlds_are_signed_and_named_by_their_id() {
    for (name, kind, length) in [
        ("moon", WorldKind::Moon, 259),
        ("planet", WorldKind::Planet, 257),
    ] {
        let place = Place::new();
        let description = describe(&place, name);
        place.write("world.json", description.to_string());
        let said = idtool(&place, &["genmoon", "world.json"]);
        let file = format!("000000{}.moon", text(&description, "id"));
        let line = succeeds(&said);
        assert!(
            line.starts_with(&format!("wrote {file} (signed world with timestamp ")),
            "{line}"
        );
        let bytes = std::fs::read(place.path(&file)).unwrap();
        assert_eq!(bytes.len(), length);
        let world = World::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(world.kind, kind);
        assert!(world.is_signed_by(&world.updates_must_be_signed_by));
        let secret: SecretIdentity = place.read("s").parse().unwrap();
        assert_eq!(&world.roots[0].identity, secret.public());
    }
}

#[test]
fn bad_descriptions_are_refused_with_a_reason() {
    let place = Place::new();
    for (content, expected) in [
        ("{bad", "j is not valid JSON: "),
        ("{}", "ID in j is invalid\n"),
        (r#"{"id":"1"}"#, "invalid worldType\n"),
        (r#"{"id":"1","worldType":"moon"}"#, "j has 0 roots"),
    ] {
        place.write("j", content);
        let said = idtool(&place, &["genmoon", "j"]);
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{content}");
        assert!(said.stderr.starts_with(expected), "{content}: {said:?}");
    }
    let said = idtool(&place, &["genmoon", "nosuch"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (1, "cannot read nosuch\n")
    );
    let said = idtool(&place, &["initmoon", "nosuch"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (1, "nosuch is not a valid identity\n")
    );
}

#[test]
fn usage_is_printed_without_a_command() {
    let place = Place::new();
    for (name, first) in tools() {
        let said = place.run(name, first);
        assert_eq!((said.code, said.stderr.as_str()), (1, ""));
        assert!(said.stdout.contains("Usage: "), "{said:?}");
    }
    assert_eq!(idtool(&place, &["nosuch"]).code, 1);
    assert_eq!(idtool(&place, &["initmoon"]).code, 0);
    let said = place.run("hawser", &["idtool", "sign"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr
            .starts_with("hawser idtool: sign needs a secret identity"),
        "{said:?}"
    );
}

#[test]
fn the_reference_agrees() {
    let Some(reference) = std::env::var_os("ZEROTIER_IDTOOL").map(PathBuf::from) else {
        println!("skipped: ZEROTIER_IDTOOL names no tool to compare with");
        return;
    };
    let place = Place::new();
    let theirs = |arguments: &[&str]| place.run_program(&reference, arguments);
    let ours = |arguments: &[&str]| idtool(&place, arguments);

    // Our identity there, theirs here.
    ours(&["generate", "s", "p"]);
    theirs(&["generate", "ts", "tp"]);
    place.write("file", "some bytes");
    for arguments in [
        &["validate", "s"][..],
        &["validate", "p"],
        &["validate", "ts"],
        &["validate", "file"],
        &["getpublic", "ts"],
        &["getpublic", "s"],
        &["sign", "s", "file"],
        &["sign", "ts", "file"],
        &["sign", "p", "file"],
        &["sign", "s", "nosuch"],
        &["initmoon", "file"],
        &["genmoon", "nosuch"],
    ] {
        assert_eq!(ours(arguments), theirs(arguments), "{arguments:?}");
    }
    let signature = ours(&["sign", "s", "file"]).stdout;
    place.write("signature", &signature);
    for arguments in [
        &["verify", "p", "file", &signature][..],
        &["verify", "p", "file", "signature"],
        &["verify", "tp", "file", &signature],
    ] {
        assert_eq!(ours(arguments), theirs(arguments), "{arguments:?}");
    }

    // The same description, with two roots out of order, gives the same world but for time and signature.
    let mut description = describe(&place, "moon");
    let theirs_described: Value = serde_json::from_str(&theirs(&["initmoon", "p"]).stdout).unwrap();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&description), keys(&theirs_described));
    let other = serde_json::json!({"identity": place.read("tp").trim(),
        "stableEndpoints": ["fd00::1/9993", "10.79.0.9/9993", "10.79.0.2/9993"]});
    description["roots"]
        .as_array_mut()
        .unwrap()
        .insert(0, other);
    let file = format!("000000{}.moon", text(&description, "id"));
    for kind in ["moon", "planet"] {
        description["worldType"] = kind.into();
        place.write("world.json", description.to_string());
        let worlds = [&ours as &dyn Fn(&[&str]) -> Said, &theirs].map(|tool| {
            let said = tool(&["genmoon", "world.json"]);
            assert!(succeeds(&said).starts_with(&format!("wrote {file} (signed world with ")));
            let bytes = std::fs::read(place.path(&file)).unwrap();
            World::decode(&mut Reader::new(&bytes)).unwrap()
        });
        let [mut our_world, their_world] = worlds;
        assert!(our_world.is_signed_by(&our_world.updates_must_be_signed_by));
        assert!(their_world.is_signed_by(&our_world.updates_must_be_signed_by));
        our_world.timestamp = their_world.timestamp;
        our_world.signature = their_world.signature;
        assert_eq!(our_world, their_world, "{kind}");
    }
}
