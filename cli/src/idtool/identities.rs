//! Identities: make, check, sign with, verify with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use protocol::{Identity, SecretIdentity, Signature};
use rand::rngs::StdRng;

use super::{Tool, identity_text};
use crate::outcome::Outcome;

type Answer = Result<Outcome, Outcome>;

/// A prefix that an address shall have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Vanity {
    /// The wanted digits, left-aligned in 40 bits.
    prefix: u64,
    bits: u32,
}

impl Vanity {
    /// Up to 10 hexadecimal digits that an address can begin with.
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if text.is_empty() || text.len() > 10 || !digits {
            return Err(format!(
                "{text:?} cannot be the beginning of an address: it must be 1 to 10 hexadecimal digits"
            ));
        }
        let bits = 4 * text.len() as u32;
        let value = u64::from_str_radix(text, 16).map_err(|error| error.to_string())?;
        let prefix = value << (40 - bits);
        // Otherwise the search would never end.
        if prefix >> 32 == 0xff || bits == 40 && prefix == 0 {
            return Err(format!(
                "no address begins with {text}: those with ff and zero are reserved"
            ));
        }
        Ok(Self { prefix, bits })
    }

    fn matches(self, address: protocol::Address) -> bool {
        (address.to_u64() ^ self.prefix) >> (40 - self.bits) == 0
    }
}

/// `generate [secret [public [vanity]]]`
pub(super) fn generate(tool: &Tool<'_>) -> Answer {
    let vanity = match tool.word(3) {
        "" => None,
        text => Some(Vanity::parse(text).map_err(|error| tool.failure(&error))?),
    };
    let mut random: StdRng = rand::make_rng();
    let mut identity = SecretIdentity::generate(&mut random);
    if let Some(vanity) = vanity {
        while !vanity.matches(identity.address()) {
            // Progress goes out at once: this can take hours.
            eprintln!(
                "vanity address: tried {} looking for first {} bits of {:010x}",
                identity.address(),
                vanity.bits,
                vanity.prefix
            );
            identity = SecretIdentity::generate(&mut random);
        }
        eprintln!("vanity address: found {} !", identity.address());
    }
    let (secret_file, public_file) = (tool.word(1), tool.word(2));
    if secret_file.is_empty() {
        return Ok(Outcome::ok(identity.to_secret_string()));
    }
    let mut said = String::new();
    for (name, text, mode) in [
        (secret_file, identity.to_secret_string(), 0o600),
        (public_file, identity.public().to_string(), 0o666),
    ] {
        if name.is_empty() {
            continue;
        }
        if let Err(error) = write(name, &text, mode) {
            return Err(Outcome {
                stdout: said,
                ..tool.failure(&format!("Error writing to {name}: {error}"))
            });
        }
        said += &format!("{name} written\n");
    }
    Ok(Outcome::ok(said))
}

/// Writes a file; a new one gets `mode`, less what the umask forbids.
fn write(name: &str, text: &str, mode: u32) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(name)?
        .write_all(text.as_bytes())
}

/// The identity that an argument gives, and the secret one if its private key is there.
fn read(tool: &Tool<'_>, argument: &str) -> Result<(Identity, Option<SecretIdentity>), Outcome> {
    let unreadable = || {
        tool.failure(&format!(
            "Identity argument invalid or file unreadable: {argument}"
        ))
    };
    let text = identity_text(argument).ok_or_else(unreadable)?;
    let public = text.parse().map_err(|_| unreadable())?;
    Ok((public, text.parse().ok()))
}

/// `validate <identity>`
pub(super) fn validate(tool: &Tool<'_>) -> Answer {
    let argument = tool.required(1, "an identity", 1)?;
    let (identity, secret) = read(tool, argument)?;
    if identity.validate() && secret.is_none_or(|secret| secret.is_consistent()) {
        Ok(Outcome::ok(format!("{argument} is a valid identity\n")))
    } else {
        Err(tool.failure(&format!("{argument} FAILED validation.")))
    }
}

/// `getpublic <identity>`
pub(super) fn public(tool: &Tool<'_>) -> Answer {
    let argument = tool.required(1, "an identity", 1)?;
    let (identity, _) = read(tool, argument)?;
    Ok(Outcome::ok(identity.to_string()))
}

fn contents(tool: &Tool<'_>, file: &str) -> Result<Vec<u8>, Outcome> {
    std::fs::read(file).map_err(|_| tool.failure(&format!("{file} is not readable")))
}

/// `sign <secret> <file>`
pub(super) fn sign(tool: &Tool<'_>) -> Answer {
    let argument = tool.required(1, "a secret identity and a file", 1)?;
    let file = tool.required(2, "a file to sign", 1)?;
    let (_, secret) = read(tool, argument)?;
    let secret = secret.ok_or_else(|| {
        tool.failure(&format!(
            "{argument} does not contain a private key (must use private to sign)"
        ))
    })?;
    let signature = secret.sign(&contents(tool, file)?);
    Ok(Outcome::ok(hex::encode(signature.0)))
}

/// The signature that an argument gives: hexadecimal digits, or a file that holds them.
fn signature(argument: &str) -> Option<Signature> {
    let digits = |text: &str| {
        let mut bytes = [0; 96];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .ok()
            .map(|()| Signature(bytes))
    };
    digits(argument).or_else(|| digits(&std::fs::read_to_string(argument).ok()?))
}

/// `verify <identity> <file> <signature>`
pub(super) fn verify(tool: &Tool<'_>) -> Answer {
    let argument = tool.required(1, "an identity, a file and a signature", 1)?;
    let file = tool.required(2, "a file and its signature", 1)?;
    let given = tool.required(3, "the file's signature", 1)?;
    let (identity, _) = read(tool, argument)?;
    let contents = contents(tool, file)?;
    if signature(given).is_some_and(|signature| identity.verify(&contents, &signature)) {
        Ok(Outcome::ok(format!("{file} signature valid\n")))
    } else {
        Err(tool.failure(&format!("{file} signature check FAILED")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vanity_compares_the_first_bits() {
        let vanity = Vanity::parse("a1D").unwrap();
        assert_eq!((vanity.prefix, vanity.bits), (0xa1_d000_0000, 12));
        assert!(vanity.matches(protocol::Address::from_u64(0xa1_dcc0_dae8)));
        assert!(!vanity.matches(protocol::Address::from_u64(0xa1_ccc0_dae8)));
        let whole = Vanity::parse("a1dcc0dae8").unwrap();
        assert!(whole.matches(protocol::Address::from_u64(0xa1_dcc0_dae8)));
    }

    #[test]
    fn impossible_prefixes_are_refused() {
        for text in ["xyz", "12345678901", "ff", "ff00", "0000000000", "+1"] {
            assert!(Vanity::parse(text).is_err(), "{text}");
        }
        assert!(Vanity::parse("f").is_ok());
    }
}
