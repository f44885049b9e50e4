//! `identities.json`: text and binary forms, proof of work, agreement, signatures.

use protocol::crypto::kdf;
use protocol::identity::work;
use protocol::{Address, Identity, Reader, SecretIdentity, Signature};
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::load::{array, boolean, bytes, json, list, number, string};

const FILE: &str = "identities.json";

fn secret(data: &Value, index: u64) -> SecretIdentity {
    string(&data["identities"][index as usize], "secret_string")
        .parse()
        .unwrap()
}

#[test]
fn identities() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "identities") {
        let identity: Identity = string(case, "public_string").parse().unwrap();
        let secret: SecretIdentity = string(case, "secret_string").parse().unwrap();
        assert_eq!(secret.public(), &identity);
        assert!(secret.is_consistent());
        assert_eq!(identity.address().to_string(), string(case, "address"));
        assert_eq!(identity.to_string(), string(case, "public_string"));
        assert_eq!(secret.to_secret_string(), string(case, "secret_string"));
        assert_eq!(identity.to_bytes()[..], bytes(case, "public_binary"));
        for form in ["public_binary", "secret_binary"] {
            let binary = bytes(case, form);
            let mut reader = Reader::new(&binary);
            assert_eq!(Identity::decode(&mut reader).as_ref(), Ok(&identity));
            assert!(reader.is_empty());
        }
        assert_eq!(
            identity.hash(),
            array(case, "address_and_public_key_sha384")
        );
        assert_eq!(identity.validate(), boolean(case, "valid"));

        let scratch = work::Scratch::fill(identity.public_key());
        let memory = scratch.to_bytes();
        assert_eq!(memory[..64], bytes(case, "work_first_block"));
        assert_eq!(
            Sha512::digest(&memory)[..],
            bytes(case, "work_scratch_sha512")
        );
        let digest = scratch.mix();
        assert_eq!(digest, array(case, "work_digest"));
        assert_eq!(work::address_of(&digest), Some(identity.address()));
    }
}

#[test]
fn invalid_identities() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "invalid") {
        let identity = string(case, "text").parse::<Identity>();
        assert_eq!(
            identity.is_ok(),
            boolean(case, "text_parses"),
            "{}",
            case["why"]
        );
        let valid = identity.is_ok_and(|identity| identity.validate());
        assert_eq!(valid, boolean(case, "valid"), "{}", case["why"]);
    }
}

#[test]
fn text_forms() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "text_forms") {
        let text = string(case, "text");
        let (public, secret) = (text.parse::<Identity>(), text.parse::<SecretIdentity>());
        assert_eq!(public.is_ok(), boolean(case, "accepted"), "{}", case["why"]);
        let Ok(public) = public else {
            assert!(secret.is_err());
            continue;
        };
        let canonical =
            secret.map_or_else(|_| public.to_string(), |secret| secret.to_secret_string());
        assert_eq!(canonical, string(case, "canonical"), "{}", case["why"]);
        assert_eq!(public.validate(), boolean(case, "valid"), "{}", case["why"]);
    }
}

#[test]
fn binary_forms() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "binary_forms") {
        let binary = bytes(case, "binary");
        let mut reader = Reader::new(&binary);
        let identity = Identity::decode(&mut reader);
        assert_eq!(
            identity.is_ok(),
            string(case, "result") == "ok",
            "{}",
            case["why"]
        );
        let Ok(identity) = identity else { continue };
        assert_eq!(
            reader.position() as u64,
            number(case, "consumed"),
            "{}",
            case["why"]
        );
        assert_eq!(
            identity.to_string(),
            string(case, "text"),
            "{}",
            case["why"]
        );
        assert_eq!(
            identity.validate(),
            boolean(case, "valid"),
            "{}",
            case["why"]
        );
    }
}

#[test]
fn agreements() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "agreements") {
        let a = secret(&data, number(case, "a"));
        if let Some(index) = case["b"].as_u64() {
            let b = secret(&data, index);
            let shared = a.agree(b.public());
            assert_eq!(shared.0, array(case, "shared_key_48"));
            assert_eq!(b.agree(a.public()).0, shared.0);
            for (label, key) in [
                (kdf::LABEL_GMAC, "aes_k0_full"),
                (kdf::LABEL_CTR, "aes_k1_full"),
            ] {
                assert_eq!(kdf::derive(&shared.0, label, 0, 0), array(case, key));
            }
        } else {
            // Public keys that no honest node has.
            let mut public_key = [0; 64];
            if case.get("public_x25519").is_some() {
                public_key[..32].copy_from_slice(&bytes(case, "public_x25519"));
            }
            let b = Identity::from_parts(Address::from_u64(1), public_key);
            assert_eq!(
                a.agree(&b).0,
                array(case, "shared_key_48"),
                "{}",
                case["note"]
            );
        }
    }
}

#[test]
fn signatures() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "signatures") {
        let signer = secret(&data, number(case, "signer"));
        let (message, signature) = (bytes(case, "message"), bytes(case, "signature"));
        // Another length than 96 bytes cannot even be asked about.
        let valid = <[u8; 96]>::try_from(signature.as_slice())
            .is_ok_and(|signature| signer.public().verify(&message, &Signature(signature)));
        assert_eq!(valid, boolean(case, "valid"), "{}", case["why"]);
        if string(case, "why") == "good" {
            assert_eq!(signer.sign(&message).0[..], signature);
        }
    }
}
