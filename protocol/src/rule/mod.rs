//! Rules as data and their wire form (protocol specification 14.1, 14.2). Evaluation is in `node::rules`.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{Address, DecodeError, MacAddress};

/// One entry of a rule set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Inverts the match (0x80).
    pub not: bool,
    /// Combines with what came before by OR instead of AND (0x40).
    pub or: bool,
    /// What it does or matches.
    pub kind: RuleKind,
}

/// Actions (0..=15) and matches (16..=63).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
pub enum RuleKind {
    Drop,
    Accept,
    Tee(Forward),
    Watch(Forward),
    Redirect(Forward),
    Break,
    Priority,
    SourceAddress(Address),
    DestinationAddress(Address),
    VlanId(u16),
    VlanPcp(u8),
    VlanDei(u8),
    MacSource(MacAddress),
    MacDestination(MacAddress),
    Ipv4Source(Ipv4Addr, u8),
    Ipv4Destination(Ipv4Addr, u8),
    Ipv6Source(Ipv6Addr, u8),
    Ipv6Destination(Ipv6Addr, u8),
    IpTos {
        mask: u8,
        start: u8,
        end: u8,
    },
    IpProtocol(u8),
    EtherType(u16),
    Icmp {
        kind: u8,
        code: u8,
        flags: u8,
    },
    SourcePortRange(u16, u16),
    DestinationPortRange(u16, u16),
    Characteristics(u64),
    FrameSizeRange(u16, u16),
    Random(u32),
    TagsDifference(TagValue),
    TagsBitwiseAnd(TagValue),
    TagsBitwiseOr(TagValue),
    TagsBitwiseXor(TagValue),
    TagsEqual(TagValue),
    TagSender(TagValue),
    TagReceiver(TagValue),
    IntegerRange {
        start: u64,
        end: u64,
        index: u16,
        format: u8,
    },
    /// A type that 1.14.1 does not know (the six type bits). Its data is lost, as in the reference.
    Unknown(u8),
}

/// Target of TEE, WATCH and REDIRECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// The receiving node; only the low 40 bits count, all 64 are kept.
    pub address: u64,
    /// Unused by 1.14.1.
    pub flags: u32,
    /// Bytes of the frame to send, 0 for all.
    pub length: u16,
}

/// A tag id and the value that it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named by their type")]
pub struct TagValue {
    pub id: u32,
    pub value: u32,
}

impl Rule {
    /// An entry without flags.
    pub const fn new(kind: RuleKind) -> Self {
        Self {
            not: false,
            or: false,
            kind,
        }
    }
    /// The six type bits (14.2).
    pub fn type_number(&self) -> u8 {
        todo!()
    }
    /// Type numbers below 16.
    pub fn is_action(&self) -> bool {
        self.type_number() < 16
    }
    /// Appends the wire form.
    pub fn encode(&self, _out: &mut Vec<u8>) {
        todo!()
    }
}

/// Reads a whole rule set; at most `limit` rules.
pub fn decode_rules(_bytes: &[u8], _limit: usize) -> Result<Vec<Rule>, DecodeError> {
    todo!()
}

/// Reads exactly `count` rules from the front of a reader.
pub fn read_rules(
    _reader: &mut crate::Reader<'_>,
    _count: usize,
) -> Result<Vec<Rule>, DecodeError> {
    todo!()
}
