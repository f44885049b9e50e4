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
    /// Reads the encoded form, up to the first NUL. Never fails: odd records are read as the reference does.
    pub fn decode(_bytes: &[u8]) -> Self {
        todo!()
    }
    /// The encoded form, without a terminator.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// Appends a record. The key must be free of `=`, CR, LF and NUL.
    pub fn push(&mut self, _key: &str, _value: impl Into<Vec<u8>>) {
        todo!()
    }
    /// Appends an integer as 16 zero-padded hex digits.
    pub fn push_u64(&mut self, _key: &str, _value: u64) {
        todo!()
    }
    /// Appends `1` or `0`.
    pub fn push_bool(&mut self, _key: &str, _value: bool) {
        todo!()
    }
    /// Appends an address as 10 hex digits.
    pub fn push_address(&mut self, _key: &str, _value: Address) {
        todo!()
    }
    /// The first value of `key`.
    pub fn get(&self, _key: &str) -> Option<&[u8]> {
        todo!()
    }
    /// The first value of `key` as text, invalid UTF-8 replaced.
    pub fn get_text(&self, _key: &str) -> Option<String> {
        todo!()
    }
    /// The first value of `key` read as hexadecimal, as far as it is.
    pub fn get_u64(&self, _key: &str) -> Option<u64> {
        todo!()
    }
    /// True if the first value of `key` begins with 1, t or T.
    pub fn get_bool(&self, _key: &str) -> Option<bool> {
        todo!()
    }
    /// All records in order.
    pub fn records(&self) -> &[(String, Vec<u8>)] {
        &self.records
    }
    /// An address of 10 hex digits; other spellings are read as the reference does.
    pub fn get_address(&self, _key: &str) -> Result<Option<Address>, DecodeError> {
        todo!()
    }
}
