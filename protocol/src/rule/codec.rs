//! The wire form of rules: type and flags, length, data (protocol specification 14.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Forward, Rule, RuleKind, TagValue};
use crate::{DecodeError, Reader};

const FLAG_NOT: u8 = 0x80;
const FLAG_OR: u8 = 0x40;
const TYPE_MASK: u8 = 0x3f;

/// Reads a whole rule set; reading stops without an error after `limit` rules.
pub fn decode_rules(bytes: &[u8], limit: usize) -> Result<Vec<Rule>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut rules = Vec::new();
    while rules.len() < limit && !reader.is_empty() {
        rules.push(read_rule(&mut reader)?);
    }
    Ok(rules)
}

/// Reads exactly `count` rules from the front of a reader.
pub fn read_rules(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Rule>, DecodeError> {
    (0..count).map(|_| read_rule(reader)).collect()
}

fn read_rule(reader: &mut Reader<'_>) -> Result<Rule, DecodeError> {
    let first = reader.u8("rule type")?;
    let length = reader.u8("rule length")?;
    // As in the reference, fields may lie beyond the announced length, which only says where the next rule begins, and
    // the last rule's length may reach beyond the end of the input.
    let kind = read_kind(first & TYPE_MASK, &mut reader.clone())?;
    reader.skip(usize::from(length));
    Ok(Rule {
        not: first & FLAG_NOT != 0,
        or: first & FLAG_OR != 0,
        kind,
    })
}

fn read_kind(number: u8, data: &mut Reader<'_>) -> Result<RuleKind, DecodeError> {
    const FIELD: &str = "rule data";
    Ok(match number {
        0 => RuleKind::Drop,
        1 => RuleKind::Accept,
        2 => RuleKind::Tee(read_forward(data)?),
        3 => RuleKind::Watch(read_forward(data)?),
        4 => RuleKind::Redirect(read_forward(data)?),
        5 => RuleKind::Break,
        6 => RuleKind::Priority,
        24 => RuleKind::SourceAddress(data.address(FIELD)?),
        25 => RuleKind::DestinationAddress(data.address(FIELD)?),
        26 => RuleKind::VlanId(data.u16(FIELD)?),
        27 => RuleKind::VlanPcp(data.u8(FIELD)?),
        28 => RuleKind::VlanDei(data.u8(FIELD)?),
        29 => RuleKind::MacSource(data.mac(FIELD)?),
        30 => RuleKind::MacDestination(data.mac(FIELD)?),
        31 => RuleKind::Ipv4Source(read_ipv4(data)?, data.u8(FIELD)?),
        32 => RuleKind::Ipv4Destination(read_ipv4(data)?, data.u8(FIELD)?),
        33 => RuleKind::Ipv6Source(read_ipv6(data)?, data.u8(FIELD)?),
        34 => RuleKind::Ipv6Destination(read_ipv6(data)?, data.u8(FIELD)?),
        35 => {
            let [mask, start, end] = data.array(FIELD)?;
            RuleKind::IpTos { mask, start, end }
        }
        36 => RuleKind::IpProtocol(data.u8(FIELD)?),
        37 => RuleKind::EtherType(data.u16(FIELD)?),
        38 => {
            let [kind, code, flags] = data.array(FIELD)?;
            RuleKind::Icmp { kind, code, flags }
        }
        39 => RuleKind::SourcePortRange(data.u16(FIELD)?, data.u16(FIELD)?),
        40 => RuleKind::DestinationPortRange(data.u16(FIELD)?, data.u16(FIELD)?),
        41 => RuleKind::Characteristics(data.u64(FIELD)?),
        42 => RuleKind::FrameSizeRange(data.u16(FIELD)?, data.u16(FIELD)?),
        43 => RuleKind::Random(data.u32(FIELD)?),
        44 => RuleKind::TagsDifference(read_tag_value(data)?),
        45 => RuleKind::TagsBitwiseAnd(read_tag_value(data)?),
        46 => RuleKind::TagsBitwiseOr(read_tag_value(data)?),
        47 => RuleKind::TagsBitwiseXor(read_tag_value(data)?),
        48 => RuleKind::TagsEqual(read_tag_value(data)?),
        49 => RuleKind::TagSender(read_tag_value(data)?),
        50 => RuleKind::TagReceiver(read_tag_value(data)?),
        51 => {
            let start = data.u64(FIELD)?;
            let end = range_end(start, data.u64(FIELD)?);
            RuleKind::IntegerRange {
                start,
                end,
                index: data.u16(FIELD)?,
                format: data.u8(FIELD)?,
            }
        }
        other => RuleKind::Unknown(other),
    })
}

fn read_forward(data: &mut Reader<'_>) -> Result<Forward, DecodeError> {
    Ok(Forward {
        address: data.u64("rule data")?,
        flags: data.u32("rule data")?,
        length: data.u16("rule data")?,
    })
}

fn read_tag_value(data: &mut Reader<'_>) -> Result<TagValue, DecodeError> {
    Ok(TagValue {
        id: data.u32("rule data")?,
        value: data.u32("rule data")?,
    })
}

fn read_ipv4(data: &mut Reader<'_>) -> Result<Ipv4Addr, DecodeError> {
    data.array::<4>("rule data").map(Ipv4Addr::from)
}

fn read_ipv6(data: &mut Reader<'_>) -> Result<Ipv6Addr, DecodeError> {
    data.array::<16>("rule data").map(Ipv6Addr::from)
}

/// The reference keeps the width of an integer range in 32 bits.
const fn range_end(start: u64, end: u64) -> u64 {
    start.wrapping_add(end.wrapping_sub(start) & 0xffff_ffff)
}

pub(super) fn encode(rule: &Rule, out: &mut Vec<u8>) {
    let flags = if rule.not { FLAG_NOT } else { 0 } | if rule.or { FLAG_OR } else { 0 };
    out.push(rule.type_number() | flags);
    let length_at = out.len();
    out.push(0);
    encode_data(&rule.kind, out);
    out[length_at] = (out.len() - length_at - 1) as u8;
}

fn encode_data(kind: &RuleKind, out: &mut Vec<u8>) {
    match *kind {
        RuleKind::Drop
        | RuleKind::Accept
        | RuleKind::Break
        | RuleKind::Priority
        | RuleKind::Unknown(_) => {}
        RuleKind::Tee(target) | RuleKind::Watch(target) | RuleKind::Redirect(target) => {
            out.extend_from_slice(&target.address.to_be_bytes());
            out.extend_from_slice(&target.flags.to_be_bytes());
            out.extend_from_slice(&target.length.to_be_bytes());
        }
        RuleKind::SourceAddress(address) | RuleKind::DestinationAddress(address) => {
            out.extend_from_slice(&address.to_bytes());
        }
        RuleKind::VlanId(number) | RuleKind::EtherType(number) => {
            out.extend_from_slice(&number.to_be_bytes());
        }
        RuleKind::VlanPcp(number) | RuleKind::VlanDei(number) | RuleKind::IpProtocol(number) => {
            out.push(number);
        }
        RuleKind::MacSource(mac) | RuleKind::MacDestination(mac) => out.extend_from_slice(&mac.0),
        RuleKind::Ipv4Source(ip, bits) | RuleKind::Ipv4Destination(ip, bits) => {
            out.extend_from_slice(&ip.octets());
            out.push(bits);
        }
        RuleKind::Ipv6Source(ip, bits) | RuleKind::Ipv6Destination(ip, bits) => {
            out.extend_from_slice(&ip.octets());
            out.push(bits);
        }
        RuleKind::IpTos { mask, start, end } => out.extend_from_slice(&[mask, start, end]),
        RuleKind::Icmp { kind, code, flags } => out.extend_from_slice(&[kind, code, flags]),
        RuleKind::SourcePortRange(start, end)
        | RuleKind::DestinationPortRange(start, end)
        | RuleKind::FrameSizeRange(start, end) => {
            out.extend_from_slice(&start.to_be_bytes());
            out.extend_from_slice(&end.to_be_bytes());
        }
        RuleKind::Characteristics(mask) => out.extend_from_slice(&mask.to_be_bytes()),
        RuleKind::Random(probability) => out.extend_from_slice(&probability.to_be_bytes()),
        RuleKind::TagsDifference(tag)
        | RuleKind::TagsBitwiseAnd(tag)
        | RuleKind::TagsBitwiseOr(tag)
        | RuleKind::TagsBitwiseXor(tag)
        | RuleKind::TagsEqual(tag)
        | RuleKind::TagSender(tag)
        | RuleKind::TagReceiver(tag) => {
            out.extend_from_slice(&tag.id.to_be_bytes());
            out.extend_from_slice(&tag.value.to_be_bytes());
        }
        RuleKind::IntegerRange {
            start,
            end,
            index,
            format,
        } => {
            out.extend_from_slice(&start.to_be_bytes());
            out.extend_from_slice(&range_end(start, end).to_be_bytes());
            out.extend_from_slice(&index.to_be_bytes());
            out.push(format);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_number_comes_back_as_itself() {
        for number in 0..64 {
            let mut bytes = vec![number | FLAG_NOT, 32];
            bytes.extend(0..32);
            let rules = decode_rules(&bytes, 10).unwrap();
            let [rule] = rules[..] else {
                panic!("{rules:?}")
            };
            assert_eq!(
                (rule.type_number(), rule.not, rule.or),
                (number, true, false)
            );
            let mut again = Vec::new();
            rule.encode(&mut again);
            let length = usize::from(again[1]);
            assert_eq!(decode_rules(&again, 10), Ok(vec![rule]));
            // Ranges whose end is too far away are cut; all other data is the input's.
            if number != 51 {
                assert_eq!(again[2..], bytes[2..2 + length]);
            }
        }
    }

    #[test]
    fn missing_data_is_an_error_but_a_long_last_length_is_not() {
        assert!(decode_rules(&[37, 2, 8], 10).is_err());
        assert_eq!(
            decode_rules(&[1, 9], 10),
            Ok(vec![Rule::new(RuleKind::Accept)])
        );
        assert!(read_rules(&mut Reader::new(&[1, 9]), 2).is_err());
    }
}
