//! The text form of identities (protocol specification 1.5), with the reference parser's tolerance: files written by
//! hand or by old programs must keep working.

use core::fmt::{self, Write as _};
use core::str::FromStr;

use zeroize::Zeroize;

use super::{Identity, SecretIdentity};
use crate::{Address, DecodeError};

/// Longest text that is accepted.
const MAX_LENGTH: usize = 383;

impl fmt::Display for Identity {
    /// The public text form: `address:0:<128 hex digits>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:0:", self.address)?;
        write_hex(f, &self.public_key)
    }
}

impl FromStr for Identity {
    type Err = DecodeError;

    /// The text form; a private key, if present, is ignored.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let (identity, private_key) = parse(text)?;
        if let Some(mut key) = private_key {
            key.zeroize();
        }
        Ok(identity)
    }
}

impl SecretIdentity {
    /// The text form with private key: what `identity.secret` holds. Handle with care.
    pub fn to_secret_string(&self) -> String {
        // The exact capacity: growing would leave copies of the key behind.
        let mut text = String::with_capacity(10 + 3 + 128 + 1 + 128);
        let written =
            write!(text, "{}:", self.public).and_then(|()| write_hex(&mut text, &self.private_key));
        debug_assert!(written.is_ok(), "writing to a string does not fail");
        text
    }
}

impl FromStr for SecretIdentity {
    type Err = DecodeError;

    /// The text form; it must hold a private key.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        match parse(text)? {
            (public, Some(private_key)) => Ok(Self {
                public,
                private_key,
            }),
            (_, None) => Err(DecodeError::Invalid("secret identity: no private key")),
        }
    }
}

/// Fields are separated by one or more colons; what follows a key's 128 digits is ignored.
fn parse(text: &str) -> Result<(Identity, Option<[u8; 64]>), DecodeError> {
    if text.len() > MAX_LENGTH {
        return Err(DecodeError::TooLarge("identity text"));
    }
    let mut fields = text.split(':').filter(|field| !field.is_empty());
    let (Some(address), Some(kind), Some(public_key)) =
        (fields.next(), fields.next(), fields.next())
    else {
        return Err(DecodeError::Truncated("identity text"));
    };
    let private_key = fields.next();
    if fields.next().is_some() {
        return Err(DecodeError::Invalid("identity text: too many fields"));
    }
    if kind != "0" {
        return Err(DecodeError::Invalid("identity type"));
    }
    let address = parse_address(address);
    if address.is_reserved() {
        return Err(DecodeError::Invalid("identity address"));
    }
    let public_key = parse_key(public_key).ok_or(DecodeError::Truncated("identity public key"))?;
    let private_key = match private_key {
        Some(digits) => {
            Some(parse_key(digits).ok_or(DecodeError::Truncated("identity private key"))?)
        }
        None => None,
    };
    Ok((
        Identity {
            address,
            public_key,
        },
        private_key,
    ))
}

/// As C's `strtoull` in base 16 does it: leading blanks and `0x` are skipped, the first character that is no digit ends
/// the number, no digit at all is zero, an overflow is all ones.
fn parse_address(text: &str) -> Address {
    let text = text.trim_start_matches(|c: char| c == ' ' || ('\t'..='\r').contains(&c));
    let text = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    let digits = text.chars().map_while(|c| c.to_digit(16));
    let value = digits.fold(0u64, |value, digit| {
        value
            .checked_mul(16)
            .map_or(u64::MAX, |value| value | u64::from(digit))
    });
    Address::from_u64(value)
}

/// The first 128 digits; a character that is no digit counts as 0. None if there are fewer characters.
fn parse_key(text: &str) -> Option<[u8; 64]> {
    let digits = text.as_bytes().get(..128)?;
    let mut key = [0; 64];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
    }
    Some(key)
}

fn nibble(digit: u8) -> u8 {
    char::from(digit)
        .to_digit(16)
        .map_or(0, |value| value as u8)
}

fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strtoull_reads_them() {
        for (text, value) in [
            ("2f99035e93", 0x2f_9903_5e93),
            (" \t2F99035e93", 0x2f_9903_5e93),
            ("0x2f99035e93", 0x2f_9903_5e93),
            ("002f99035e93", 0x2f_9903_5e93),
            ("12g4", 0x12),
            ("", 0),
            ("xyz", 0),
            ("1ffffffffffffffff0", 0xff_ffff_ffff),
        ] {
            assert_eq!(parse_address(text).to_u64(), value, "{text:?}");
        }
    }

    #[test]
    fn oversized_text_is_refused() {
        let text = format!("2f99035e93:0:{}", "0".repeat(371));
        assert_eq!(text.len(), 384);
        assert!(text.parse::<Identity>().is_err());
        assert!(text[..383].parse::<Identity>().is_ok());
    }
}
