//! Rules as data and their wire form (protocol specification 14.1, 14.2). Evaluation is in `node::rules`.

mod codec;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{Address, MacAddress};

pub use codec::{decode_rules, read_rules};

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
    /// Flags bit 0: the code counts too.
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
    /// The range's width is kept in 32 bits: on the wire `end` is at most 2^32 - 1 above `start`. Format: bits - 1,
    /// and 0x80 for little-endian.
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
    pub const fn type_number(&self) -> u8 {
        match self.kind {
            RuleKind::Drop => 0,
            RuleKind::Accept => 1,
            RuleKind::Tee(_) => 2,
            RuleKind::Watch(_) => 3,
            RuleKind::Redirect(_) => 4,
            RuleKind::Break => 5,
            RuleKind::Priority => 6,
            RuleKind::SourceAddress(_) => 24,
            RuleKind::DestinationAddress(_) => 25,
            RuleKind::VlanId(_) => 26,
            RuleKind::VlanPcp(_) => 27,
            RuleKind::VlanDei(_) => 28,
            RuleKind::MacSource(_) => 29,
            RuleKind::MacDestination(_) => 30,
            RuleKind::Ipv4Source(..) => 31,
            RuleKind::Ipv4Destination(..) => 32,
            RuleKind::Ipv6Source(..) => 33,
            RuleKind::Ipv6Destination(..) => 34,
            RuleKind::IpTos { .. } => 35,
            RuleKind::IpProtocol(_) => 36,
            RuleKind::EtherType(_) => 37,
            RuleKind::Icmp { .. } => 38,
            RuleKind::SourcePortRange(..) => 39,
            RuleKind::DestinationPortRange(..) => 40,
            RuleKind::Characteristics(_) => 41,
            RuleKind::FrameSizeRange(..) => 42,
            RuleKind::Random(_) => 43,
            RuleKind::TagsDifference(_) => 44,
            RuleKind::TagsBitwiseAnd(_) => 45,
            RuleKind::TagsBitwiseOr(_) => 46,
            RuleKind::TagsBitwiseXor(_) => 47,
            RuleKind::TagsEqual(_) => 48,
            RuleKind::TagSender(_) => 49,
            RuleKind::TagReceiver(_) => 50,
            RuleKind::IntegerRange { .. } => 51,
            RuleKind::Unknown(number) => number & 0x3f,
        }
    }

    /// Type numbers below 16.
    pub const fn is_action(&self) -> bool {
        self.type_number() < 16
    }

    /// Appends the wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::encode(self, out);
    }
}
