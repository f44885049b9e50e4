//! `key=value` blobs (protocol specification 12.1). Values are arbitrary bytes.

use crate::{Address, DecodeError};

/// An ordered list of records. Reading keeps order and duplicates; lookups see the first record of a key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dictionary {
    records: Vec<(String, Vec<u8>)>,
}

impl Dictionary {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            records: Vec::new(),
        }
    }

    /// Reads the encoded form, up to the first NUL. Never fails: lines without `=` are passed over, an escaped
    /// character without a meaning stands for itself.
    pub fn decode(bytes: &[u8]) -> Self {
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        let records = text
            .split(|b| matches!(b, b'\r' | b'\n'))
            .filter_map(|line| {
                let equals = line.iter().position(|b| *b == b'=')?;
                let (key, value) = line.split_at(equals);
                Some((
                    String::from_utf8_lossy(key).into_owned(),
                    unescape(&value[1..]),
                ))
            });
        Self {
            records: records.collect(),
        }
    }

    /// The encoded form, without a terminator.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in &self.records {
            if !out.is_empty() {
                out.push(b'\n');
            }
            out.extend_from_slice(key.as_bytes());
            out.push(b'=');
            escape(value, &mut out);
        }
        out
    }

    /// Appends a record. The key must be free of `=`, CR, LF and NUL.
    pub fn push(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        debug_assert!(!key.contains(['=', '\r', '\n', '\0']), "key {key:?}");
        self.records.push((key.to_owned(), value.into()));
    }

    /// Appends an integer as 16 zero-padded hex digits.
    pub fn push_u64(&mut self, key: &str, value: u64) {
        self.push(key, format!("{value:016x}"));
    }

    /// Appends `1` or `0`.
    pub fn push_bool(&mut self, key: &str, value: bool) {
        self.push(key, if value { "1" } else { "0" });
    }

    /// Appends an address as 10 hex digits, as configurations hold it. (Traces write addresses as integers.)
    pub fn push_address(&mut self, key: &str, value: Address) {
        self.push(key, value.to_string());
    }

    /// The first value of `key`.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.records
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of `key` as text, invalid UTF-8 replaced.
    pub fn get_text(&self, key: &str) -> Option<String> {
        self.get(key)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The first value of `key` read as hexadecimal, as far as it is.
    ///
    /// Read as C's `strtoull` does: white space, a sign and `0x` may come first, what follows the digits is ignored,
    /// no digits are 0, too large a number is the largest one, and a minus sign negates modulo 2^64.
    pub fn get_u64(&self, key: &str) -> Option<u64> {
        self.get(key).map(parse_hexadecimal)
    }

    /// True if the first value of `key` begins with 1, t or T.
    pub fn get_bool(&self, key: &str) -> Option<bool> {
        self.get(key)
            .map(|value| matches!(value.first(), Some(b'1' | b't' | b'T')))
    }

    /// All records in order.
    pub fn records(&self) -> &[(String, Vec<u8>)] {
        &self.records
    }

    /// The first value of `key` as an address: a hexadecimal number of any length, of which the low 40 bits count.
    pub fn get_address(&self, key: &str) -> Result<Option<Address>, DecodeError> {
        Ok(self.get_u64(key).map(Address::from_u64))
    }
}

fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'=' => out.extend_from_slice(b"\\e"),
            other => out.push(*other),
        }
    }
}

fn unescape(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(b'0') => out.push(0),
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b'e') => out.push(b'='),
            Some(other) => out.push(*other),
            None => {}
        }
    }
    out
}

fn parse_hexadecimal(value: &[u8]) -> u64 {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let start = value
        .iter()
        .position(|b| !is_space(b))
        .unwrap_or(value.len());
    let mut rest = &value[start..];
    let negative = rest.first() == Some(&b'-');
    if let [b'-' | b'+', tail @ ..] = rest {
        rest = tail;
    }
    if let [b'0', b'x' | b'X', tail @ ..] = rest
        && tail.first().and_then(digit).is_some()
    {
        rest = tail;
    }
    let mut number = 0_u64;
    for digit in rest.iter().map_while(digit) {
        if number >> 60 != 0 {
            return u64::MAX;
        }
        number = number << 4 | u64::from(digit);
    }
    if negative {
        number.wrapping_neg()
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_bytes_are_escaped_and_come_back() {
        let mut dictionary = Dictionary::new();
        dictionary.push("a", *b"\0\r\n\\=x");
        dictionary.push("b", "");
        assert_eq!(dictionary.encode(), b"a=\\0\\r\\n\\\\\\ex\nb=");
        assert_eq!(Dictionary::decode(&dictionary.encode()), dictionary);
    }

    #[test]
    fn reading_ends_at_nul() {
        let dictionary = Dictionary::decode(b"a=1\nb=2\0c=3");
        assert_eq!(dictionary.get("b"), Some(&b"2"[..]));
        assert_eq!(dictionary.get("c"), None);
    }

    #[test]
    fn integers_are_read_like_strtoull() {
        let cases: [(&[u8], u64); 9] = [
            (b"ff", 255),
            (b" \t-1", u64::MAX),
            (b"+0X1f", 31),
            (b"0xg", 0),
            (b"12z", 0x12),
            (b"", 0),
            (b"ffffffffffffffff", u64::MAX),
            (b"10000000000000000", u64::MAX),
            (b"00000000000000000001", 1),
        ];
        for (text, number) in cases {
            assert_eq!(parse_hexadecimal(text), number, "{text:?}");
        }
    }
}
