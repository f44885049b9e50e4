//! By what two Hawser nodes know each other: a few bytes behind the last field of HELLO's masked section and of OK(HELLO), where
//! other nodes have stopped reading.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | `hw` |
//! | 2 | 1 | version of this layout, 1 |
//! | 3 | 4 | feature bits, the highest first |
//! | 7 | 1 | greatest number of lanes that it will send on |
//!
//! Whatever follows is left for later versions of us. Absent, or of another version: a node like any other.

use crate::Reader;

const MAGIC: [u8; 2] = *b"hw";
const VERSION: u8 = 1;

/// What a Hawser node can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// See the constants; bits without a name are kept as they came.
    pub bits: u32,
    /// Lanes on which it may send over one path, 0 to 255.
    pub lanes: u8,
}

impl Features {
    /// Hybrid session keys; the place is reserved.
    pub const HYBRID_KEYS: u32 = 1;
    /// Reads the numbers that [`crate::packet::LaneOrigin`] puts into the inner IVs of suite 3.
    pub const NUMBERED: u32 = 1 << 1;
    /// Reports what arrives when it is asked to ([`super::ReportRequest`]).
    pub const REPORTS: u32 = 1 << 2;
    /// Answers up to 50 ECHOs per second and path.
    pub const PROBES: u32 = 1 << 3;

    /// Length of the encoded form.
    pub const LENGTH: usize = 8;

    /// Reads what stands behind the last field of HELLO or OK(HELLO).
    pub fn decode(trailer: &[u8]) -> Option<Self> {
        const FIELD: &str = "features";
        let mut reader = Reader::new(trailer);
        if reader.array::<2>(FIELD).ok()? != MAGIC || reader.u8(FIELD).ok()? != VERSION {
            return None;
        }
        Some(Self {
            bits: reader.u32(FIELD).ok()?,
            lanes: reader.u8(FIELD).ok()?,
        })
    }

    /// Appends the trailer.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.bits.to_be_bytes());
        out.push(self.lanes);
    }

    /// All of `bits` are set.
    pub const fn has(self, bits: u32) -> bool {
        self.bits & bits == bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_come_back_with_bits_that_nobody_knows() {
        let features = Features {
            bits: 0xdead_beef,
            lanes: 62,
        };
        let mut trailer = Vec::new();
        features.encode(&mut trailer);
        assert_eq!(trailer.len(), Features::LENGTH);
        assert_eq!(trailer[..3], *b"hw\x01");
        assert_eq!(Features::decode(&trailer), Some(features));
        trailer.push(9);
        assert_eq!(Features::decode(&trailer), Some(features));
        assert!(features.has(Features::NUMBERED | Features::REPORTS));
        assert!(!features.has(1 << 4));
    }

    #[test]
    fn anything_else_is_no_trailer() {
        let mut trailer = Vec::new();
        Features::default().encode(&mut trailer);
        for length in 0..Features::LENGTH {
            assert_eq!(Features::decode(&trailer[..length]), None);
        }
        for index in 0..3 {
            let mut other = trailer.clone();
            other[index] ^= 1;
            assert_eq!(Features::decode(&other), None);
        }
    }
}
