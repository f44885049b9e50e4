//! `rules.json`: the wire form of rules. What rules decide is tested elsewhere.

use protocol::rule::{Forward, Rule, RuleKind, TagValue, decode_rules, read_rules};
use protocol::{Address, MacAddress, Reader};
use serde_json::Value;

use crate::load::{array, boolean, bytes, json, list, number, string};

const FILE: &str = "rules.json";

/// A rule as golden data spells it.
pub(crate) fn rule(value: &Value) -> Rule {
    let flag = |key: &str| value[key].as_bool().unwrap_or(false);
    Rule {
        not: flag("not"),
        or: flag("or"),
        kind: kind(value),
    }
}

/// A list of rules as golden data spells it.
pub(crate) fn rules(value: &Value) -> Vec<Rule> {
    value
        .as_array()
        .expect("a list of rules")
        .iter()
        .map(rule)
        .collect()
}

fn kind(value: &Value) -> RuleKind {
    let byte = |key| u8::try_from(number(value, key)).unwrap();
    let short = |key| u16::try_from(number(value, key)).unwrap();
    let word = |key| u32::try_from(number(value, key)).unwrap();
    let address = |key| -> Address { string(value, key).parse().unwrap() };
    let mac = |key| MacAddress(array(value, key));
    let forward = || Forward {
        address: address("address").to_u64(),
        flags: word("flags"),
        length: short("length"),
    };
    let tag = || TagValue {
        id: word("tag"),
        value: word("value"),
    };
    let long = |key| u64::from_be_bytes(array(value, key));
    match string(value, "name") {
        "drop" => RuleKind::Drop,
        "accept" => RuleKind::Accept,
        "tee" => RuleKind::Tee(forward()),
        "watch" => RuleKind::Watch(forward()),
        "redirect" => RuleKind::Redirect(forward()),
        "break" => RuleKind::Break,
        "priority" => RuleKind::Priority,
        "source_zt" => RuleKind::SourceAddress(address("address")),
        "dest_zt" => RuleKind::DestinationAddress(address("address")),
        "vlan_id" => RuleKind::VlanId(short("vlan_id")),
        "vlan_pcp" => RuleKind::VlanPcp(byte("pcp")),
        "vlan_dei" => RuleKind::VlanDei(byte("dei")),
        "mac_source" => RuleKind::MacSource(mac("mac")),
        "mac_dest" => RuleKind::MacDestination(mac("mac")),
        "ipv4_source" => RuleKind::Ipv4Source(string(value, "ip").parse().unwrap(), byte("prefix")),
        "ipv4_dest" => {
            RuleKind::Ipv4Destination(string(value, "ip").parse().unwrap(), byte("prefix"))
        }
        "ipv6_source" => RuleKind::Ipv6Source(string(value, "ip").parse().unwrap(), byte("prefix")),
        "ipv6_dest" => {
            RuleKind::Ipv6Destination(string(value, "ip").parse().unwrap(), byte("prefix"))
        }
        "ip_tos" => RuleKind::IpTos {
            mask: byte("mask"),
            start: byte("low"),
            end: byte("high"),
        },
        "ip_protocol" => RuleKind::IpProtocol(byte("protocol")),
        "ethertype" => RuleKind::EtherType(short("ethertype")),
        "icmp" => RuleKind::Icmp {
            kind: byte("type"),
            code: byte("code"),
            flags: byte("flags"),
        },
        "source_port_range" => RuleKind::SourcePortRange(short("low"), short("high")),
        "dest_port_range" => RuleKind::DestinationPortRange(short("low"), short("high")),
        "characteristics" => RuleKind::Characteristics(long("mask")),
        "frame_size_range" => RuleKind::FrameSizeRange(short("low"), short("high")),
        "random" => RuleKind::Random(word("probability")),
        "tags_difference" => RuleKind::TagsDifference(tag()),
        "tags_and" => RuleKind::TagsBitwiseAnd(tag()),
        "tags_or" => RuleKind::TagsBitwiseOr(tag()),
        "tags_xor" => RuleKind::TagsBitwiseXor(tag()),
        "tags_equal" => RuleKind::TagsEqual(tag()),
        "tag_sender" => RuleKind::TagSender(tag()),
        "tag_receiver" => RuleKind::TagReceiver(tag()),
        "integer_range" => RuleKind::IntegerRange {
            start: long("start"),
            end: long("end"),
            index: short("index"),
            format: byte("format"),
        },
        "unknown" => RuleKind::Unknown(byte("number")),
        other => panic!("rule {other:?}"),
    }
}

#[test]
fn every_rule_is_written_and_read() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "serialization") {
        let written = rule(&case["rule"]);
        assert_eq!(
            u64::from(written.type_number()),
            number(&case["rule"], "number")
        );
        let mut wire = Vec::new();
        written.encode(&mut wire);
        assert_eq!(wire, bytes(case, "bytes"), "{case}");
        assert_eq!(
            decode_rules(&wire, 1),
            Ok(vec![rule(&case["read_back"])]),
            "{case}"
        );
    }
}

#[test]
fn odd_rule_sets() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "parse") {
        let what = string(case, "what");
        let wire = bytes(case, "bytes");
        let result = decode_rules(&wire, number(case, "max_rules") as usize);
        assert_eq!(result.is_ok(), boolean(case, "ok"), "{what}");
        let Ok(read) = result else { continue };
        assert_eq!(read, rules(&case["rules"]), "{what}");
        assert_eq!(read.len() as u64, number(case, "count"), "{what}");
        let mut reader = Reader::new(&wire);
        assert_eq!(read_rules(&mut reader, read.len()), Ok(read), "{what}");
        let consumed = number(case, "consumed").min(wire.len() as u64);
        assert_eq!(reader.position() as u64, consumed, "{what}");
    }
}
