//! `credentials.json`: membership, tags, capabilities, ownership, revocations. What a node does with a sequence of
//! them is tested elsewhere.

use std::collections::BTreeMap;

use protocol::credential::{
    Capability, CertificateOfMembership, CertificateOfOwnership, ChainCheck, CredentialKind,
    Custody, OwnedThing, Qualifier, Revocation, Tag,
};
use protocol::rule::decode_rules;
use protocol::{
    Address, DecodeError, Identity, IpPrefix, MacAddress, NetworkId, Reader, SecretIdentity,
};
use serde_json::Value;

use crate::load::{array, boolean, bytes, json, list, number, string};
use crate::rules_codec::rules;

const FILE: &str = "credentials.json";

/// The cast: the verifying node knows the controller and the members whose identities the data gives it.
struct Cast(BTreeMap<String, SecretIdentity>);

impl Cast {
    fn of(data: &Value) -> Self {
        let identities = data["identities"].as_object().expect("identities by name");
        let secret = |text: &Value| text.as_str().expect("a text").parse().unwrap();
        Self(
            identities
                .iter()
                .map(|(name, text)| (name.clone(), secret(text)))
                .collect(),
        )
    }

    fn secret(&self, name: &str) -> &SecretIdentity {
        &self.0[name]
    }

    fn controller(&self) -> &Identity {
        self.secret("controller").public()
    }

    fn by_address(&self, address: Address) -> Option<&SecretIdentity> {
        self.0
            .values()
            .find(|identity| identity.address() == address)
    }

    /// The real verifier knew nobody but the controller; for capabilities that were handed over, also the givers.
    fn check_chain(&self, capability: &Capability, unknown: Option<&str>) -> ChainCheck {
        let unknown = unknown.map(|name| self.secret(name).address());
        capability.verify_chain(|address| {
            if Some(address) == unknown {
                return None;
            }
            self.by_address(address).map(SecretIdentity::public)
        })
    }
}

fn address(case: &Value, key: &str) -> Address {
    string(case, key).parse().unwrap()
}

fn network(case: &Value) -> NetworkId {
    string(case, "network").parse().unwrap()
}

fn word(case: &Value, key: &str) -> u32 {
    u32::try_from(number(case, key)).unwrap()
}

/// Reads a credential that must end exactly at the end of the input.
fn read_all<T>(wire: &[u8], read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>) -> T {
    let mut reader = Reader::new(wire);
    let credential = read(&mut reader).unwrap();
    assert!(reader.is_empty());
    credential
}

fn written<T>(credential: &T, write: impl Fn(&T, &mut Vec<u8>)) -> Vec<u8> {
    let mut wire = Vec::new();
    write(credential, &mut wire);
    wire
}

fn is_valid(case: &Value) -> bool {
    string(case, "result") == "valid"
}

fn qualifiers(case: &Value) -> Vec<Qualifier> {
    let hexadecimal = |value: &Value| u64::from_str_radix(value.as_str().unwrap(), 16).unwrap();
    let qualifier = |q: &Value| Qualifier {
        id: hexadecimal(&q[0]),
        value: hexadecimal(&q[1]),
        max_delta: hexadecimal(&q[2]),
    };
    case["qualifiers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(qualifier)
        .collect()
}

#[test]
fn memberships() {
    let Some(data) = json(FILE) else { return };
    let cast = Cast::of(&data);
    for case in list(&data, "com") {
        let name = string(case, "name");
        let wire = bytes(case, "serialized");
        let read = read_all(&wire, CertificateOfMembership::decode);
        assert_eq!(read.qualifiers, qualifiers(case), "{name}");
        assert_eq!(read.signed_bytes(), bytes(case, "signed_bytes"), "{name}");
        assert_eq!(
            written(&read, CertificateOfMembership::encode),
            wire,
            "{name}"
        );
        assert_eq!(read.timestamp(), number(case, "timestamp"), "{name}");
        assert_eq!(read.network(), network(case), "{name}");
        assert_eq!(read.issued_to(), address(case, "issued_to"), "{name}");
        assert_eq!(read.verify(cast.controller()), is_valid(case), "{name}");
        // Signing the same qualifiers again gives the same bytes.
        let signer = case["signed_by"].as_str().map(|name| cast.secret(name));
        let mut again = CertificateOfMembership {
            qualifiers: qualifiers(case),
            signer: signer.map_or(Address::NONE, SecretIdentity::address),
            signature: None,
        };
        again.signature = signer.map(|signer| signer.sign(&again.signed_bytes()));
        assert_eq!(again, read, "{name}");
        let member = cast.by_address(read.issued_to());
        if let (Some(signer), Some(member), 7) = (signer, member, read.qualifiers.len()) {
            let max_delta = read.qualifiers[0].max_delta;
            let issued = CertificateOfMembership::issue(
                signer,
                read.network(),
                member.public(),
                read.timestamp(),
                max_delta,
            );
            assert_eq!(issued, read, "{name}");
        }
    }
}

#[test]
fn agreement_of_memberships() {
    let Some(data) = json(FILE) else { return };
    let cast = Cast::of(&data);
    let certificates: BTreeMap<_, _> = list(&data, "com")
        .iter()
        .map(|case| {
            let wire = bytes(case, "serialized");
            (
                string(case, "name"),
                read_all(&wire, CertificateOfMembership::decode),
            )
        })
        .collect();
    for case in list(&data, "com_agreement") {
        let first = &certificates[string(case, "first_name")];
        let second = &certificates[string(case, "second_name")];
        let other = cast.secret(string(case, "other")).public();
        assert_eq!(
            first.agrees_with(second, other),
            boolean(case, "agrees"),
            "{case}"
        );
    }
}

#[test]
fn tags() {
    let Some(data) = json(FILE) else { return };
    let cast = Cast::of(&data);
    for case in list(&data, "tag") {
        let wire = bytes(case, "serialized");
        let tag = read_all(&wire, Tag::decode);
        assert_eq!((tag.id, tag.value), (word(case, "id"), word(case, "value")));
        assert_eq!(
            (tag.network, tag.timestamp),
            (network(case), number(case, "timestamp"))
        );
        assert_eq!(tag.issued_to, address(case, "issued_to"));
        assert_eq!(tag.signer, address(case, "signed_by"));
        assert_eq!(tag.signed_bytes(), bytes(case, "signed_bytes"));
        assert_eq!(written(&tag, Tag::encode), wire);
        assert_eq!(tag.verify(cast.controller()), is_valid(case), "{case}");
        if is_valid(case) {
            let signer = cast.secret("controller");
            let again = Tag::issue(
                signer,
                tag.network,
                tag.issued_to,
                tag.timestamp,
                tag.id,
                tag.value,
            );
            assert_eq!(again, tag);
        }
    }
}

#[test]
fn capabilities() {
    let Some(data) = json(FILE) else { return };
    let cast = Cast::of(&data);
    for case in list(&data, "capability") {
        let name = string(case, "name");
        let wire = bytes(case, "serialized");
        let read = read_all(&wire, Capability::decode);
        assert_eq!(read.id, word(case, "id"), "{name}");
        assert_eq!(
            (read.network, read.timestamp),
            (network(case), number(case, "timestamp"))
        );
        assert_eq!(
            u64::from(read.max_custody_chain),
            number(case, "max_custody"),
            "{name}"
        );
        assert_eq!(read.rules, rules(&case["rules_decoded"]), "{name}");
        assert_eq!(
            decode_rules(&bytes(case, "rules"), 64).as_ref(),
            Ok(&read.rules),
            "{name}"
        );
        let links = |c: &Custody| Value::from(vec![c.to.to_string(), c.from.to_string()]);
        let custody: Vec<_> = read.custody.iter().map(links).collect();
        assert_eq!(Value::from(custody), case["custody"], "{name}");
        assert_eq!(read.issued_to(), address(case, "issued_to"), "{name}");
        assert_eq!(read.signed_bytes(), bytes(case, "signed_bytes"), "{name}");
        assert_eq!(written(&read, Capability::encode), wire, "{name}");

        let unknown = name.contains("identity unknown").then_some("m3");
        let expected = match string(case, "result") {
            "valid" => ChainCheck::Valid,
            "invalid" => ChainCheck::Invalid,
            other => {
                assert!(other.starts_with("signer unknown"), "{other}");
                ChainCheck::UnknownSigner(cast.secret("m3").address())
            }
        };
        assert_eq!(cast.check_chain(&read, unknown), expected, "{name}");
        let alone = expected == ChainCheck::Valid && read.custody.len() == 1;
        assert_eq!(read.verify(cast.controller()), alone, "{name}");

        // Handing it over along the same chain gives the same bytes.
        let mut again = Capability {
            custody: Vec::new(),
            ..read.clone()
        };
        for link in &read.custody {
            let giver = cast.by_address(link.from).expect("one of the cast");
            assert!(again.hand_over(giver, link.to), "{name}");
        }
        assert_eq!(again, read, "{name}");
        let full = read.custody.len() == usize::from(read.max_custody_chain);
        assert_eq!(
            !again.hand_over(cast.secret("m1"), Address::from_u64(1)),
            full,
            "{name}"
        );
    }
}

#[test]
fn ownership() {
    let Some(data) = json(FILE) else { return };
    let cast = Cast::of(&data);
    let cases = list(&data, "ownership");
    for case in cases {
        let wire = bytes(case, "serialized");
        let read = read_all(&wire, CertificateOfOwnership::decode);
        assert_eq!(
            (read.network, read.timestamp),
            (network(case), number(case, "timestamp"))
        );
        assert_eq!(
            (read.id, read.flags),
            (word(case, "id"), u64::from_be_bytes(array(case, "flags")))
        );
        assert_eq!(read.issued_to, address(case, "issued_to"));
        assert_eq!(read.signer, address(case, "signed_by"));
        let things = case["things"].as_array().expect("a list").iter();
        let thing = |thing: &Value| OwnedThing {
            kind: u8::try_from(thing[0].as_u64().unwrap()).unwrap(),
            value: hex::decode(thing[1].as_str().unwrap())
                .unwrap()
                .try_into()
                .unwrap(),
        };
        let things: Vec<_> = things.map(thing).collect();
        assert_eq!(read.things, things);
        assert_eq!(read.signed_bytes(), bytes(case, "signed_bytes"));
        assert_eq!(written(&read, CertificateOfOwnership::encode), wire);
        assert_eq!(read.verify(cast.controller()), is_valid(case), "{case}");
        if is_valid(case) {
            let again = CertificateOfOwnership::issue(
                cast.secret("controller"),
                read.network,
                read.issued_to,
                read.timestamp,
                read.id,
                things,
            );
            assert_eq!(again, read);
        }
    }
    for case in list(&data, "owns") {
        let of = usize::try_from(number(case, "ownership")).unwrap();
        let wire = bytes(&cases[of], "serialized");
        let certificate = read_all(&wire, CertificateOfOwnership::decode);
        let text = string(case, "address");
        let owns = match text.parse::<IpPrefix>() {
            Ok(address) => certificate.owns(address.ip),
            Err(_) => certificate.owns(MacAddress(array(case, "address"))),
        };
        assert_eq!(owns, boolean(case, "owns"), "{case}");
    }
}

#[test]
fn revocations() {
    let Some(data) = json(FILE) else { return };
    let cast = Cast::of(&data);
    for case in list(&data, "revocation") {
        let wire = bytes(case, "serialized");
        let read = read_all(&wire, Revocation::decode);
        assert_eq!(
            (read.id, read.credential_id),
            (word(case, "id"), word(case, "credential_id"))
        );
        assert_eq!(
            (read.network, read.threshold),
            (network(case), number(case, "threshold"))
        );
        assert_eq!(read.flags, u64::from_be_bytes(array(case, "flags")));
        assert_eq!(read.target, address(case, "target"));
        assert_eq!(read.signer, address(case, "signed_by"));
        assert_eq!(u64::from(read.kind), number(case, "type"));
        assert_eq!(read.is_fast_propagating(), boolean(case, "fast"));
        assert_eq!(read.signed_bytes(), bytes(case, "signed_bytes"));
        assert_eq!(written(&read, Revocation::encode), wire);
        assert_eq!(read.verify(cast.controller()), is_valid(case), "{case}");
        if is_valid(case) {
            let again = Revocation::issue(
                cast.secret("controller"),
                read.network,
                read.target,
                CredentialKind::from_byte(read.kind).expect("a known type"),
                read.id,
                read.credential_id,
                read.threshold,
                read.flags,
            );
            assert_eq!(again, read);
        }
    }
}

/// Outcome of reading and verifying an altered credential: bytes consumed and validity, or none if it was refused.
fn read_altered(cast: &Cast, kind: &str, wire: &[u8]) -> Option<(usize, bool)> {
    let mut reader = Reader::new(wire);
    let controller = cast.controller();
    let valid = match kind {
        "com" => CertificateOfMembership::decode(&mut reader)
            .ok()?
            .verify(controller),
        "tag" => Tag::decode(&mut reader).ok()?.verify(controller),
        "capability" => {
            let capability = Capability::decode(&mut reader).ok()?;
            cast.check_chain(&capability, None) == ChainCheck::Valid
        }
        "ownership" => CertificateOfOwnership::decode(&mut reader)
            .ok()?
            .verify(controller),
        "revocation" => Revocation::decode(&mut reader).ok()?.verify(controller),
        other => panic!("credential {other:?}"),
    };
    Some((reader.position(), valid))
}

#[test]
fn altered_credentials() {
    let Some(data) = json(FILE) else { return };
    let cast = Cast::of(&data);
    for case in list(&data, "tampered") {
        let kind = string(case, "of").split(' ').next().expect("a kind");
        let expected = boolean(case, "parsed").then(|| {
            (
                usize::try_from(number(case, "consumed")).unwrap(),
                is_valid(case),
            )
        });
        let name = format!("{}: {}", string(case, "of"), string(case, "what"));
        assert_eq!(
            read_altered(&cast, kind, &bytes(case, "bytes")),
            expected,
            "{name}"
        );
    }
}
