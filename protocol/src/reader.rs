//! A bounds-checked cursor over received bytes. All integers are big-endian.

use crate::{Address, DecodeError, MacAddress, NetworkId};

/// Reads fields from the front of a byte slice. Every method names the field, so an error says where the input ended.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            length: bytes.len(),
        }
    }

    /// Bytes consumed so far.
    pub const fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// Bytes not consumed yet.
    pub const fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// True when everything was consumed.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated(field))?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes, by value.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated(field))?;
        self.rest = tail;
        Ok(*head)
    }

    /// Passes over `length` bytes, or over all that is left if there are fewer: for lengths that the reference adds to
    /// its position without a check, so that only a later field can be missing.
    pub fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or(&[]);
    }

    /// An unsigned byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// A 16-bit integer.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// A 32-bit integer.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A 64-bit integer.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A 40-bit node address (reserved values included; the caller decides).
    pub fn address(&mut self, field: &'static str) -> Result<Address, DecodeError> {
        self.array(field).map(Address::from_bytes)
    }

    /// A 64-bit network id.
    pub fn network_id(&mut self, field: &'static str) -> Result<NetworkId, DecodeError> {
        self.u64(field).map(NetworkId)
    }

    /// A 48-bit MAC address.
    pub fn mac(&mut self, field: &'static str) -> Result<MacAddress, DecodeError> {
        self.array(field).map(MacAddress)
    }
}
