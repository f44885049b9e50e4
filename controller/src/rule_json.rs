//! Rules in JSON (service specification F.11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use protocol::rule::{Forward, Rule, RuleKind, TagValue};
use protocol::{Address, MacAddress};
use serde_json::{Map, Value, json};

use crate::lenient;

/// Reads a list of rules; entries that make no sense are left out.
pub(crate) fn parse_rules(value: Option<&Value>) -> Vec<Rule> {
    lenient::elements(value).filter_map(parse_rule).collect()
}

/// The list as it is stored and shown.
pub(crate) fn render_rules(rules: &[Rule]) -> Value {
    rules.iter().filter_map(render_rule).collect()
}

/// Reads one rule. What is missing or malformed in it is 0, as 1.14.1 reads it: a match that were left out would make the
/// action behind it meet everything.
pub(crate) fn parse_rule(value: &Value) -> Option<Rule> {
    let object = value.as_object()?;
    Some(Rule {
        not: lenient::boolean(object.get("not"), false),
        or: lenient::boolean(object.get("or"), false),
        kind: parse_kind(object)?,
    })
}

fn parse_kind(object: &Map<String, Value>) -> Option<RuleKind> {
    let number = |key| lenient::unsigned(object.get(key), 0);
    let number8 = |key| number(key) as u8;
    let number16 = |key| number(key) as u16;
    let prefix = || rule_prefix(object.get("ip").and_then(Value::as_str).unwrap_or_default());
    let prefix4 = || match prefix() {
        (Some(IpAddr::V4(ip)), bits) => (ip, bits.min(32) as u8),
        (_, bits) => (Ipv4Addr::UNSPECIFIED, bits.min(32) as u8),
    };
    let prefix6 = || match prefix() {
        (Some(IpAddr::V6(ip)), bits) => (ip, bits.min(128) as u8),
        (_, bits) => (Ipv6Addr::UNSPECIFIED, bits.min(128) as u8),
    };
    let range = || {
        let start = number16("start");
        let end = lenient::unsigned(object.get("end"), start.into()) as u16;
        (start, end)
    };
    let tag = || TagValue {
        id: number("id") as u32,
        value: number("value") as u32,
    };
    let node = |key| Address::from_u64(hexadecimal(object.get(key)) & ((1 << 40) - 1));
    let forward = |length| Forward {
        address: node("address").to_u64(),
        flags: number("flags") as u32,
        length,
    };
    let zt = || node("zt");
    let mac = || lenient::mac(object.get("mac")).unwrap_or(MacAddress([0; 6]));
    Some(match object.get("type")?.as_str()? {
        "ACTION_DROP" => RuleKind::Drop,
        "ACTION_ACCEPT" => RuleKind::Accept,
        "ACTION_TEE" => RuleKind::Tee(forward(number16("length"))),
        "ACTION_WATCH" => RuleKind::Watch(forward(number16("length"))),
        "ACTION_REDIRECT" => RuleKind::Redirect(forward(0)),
        "ACTION_BREAK" => RuleKind::Break,
        "MATCH_SOURCE_ZEROTIER_ADDRESS" => RuleKind::SourceAddress(zt()),
        "MATCH_DEST_ZEROTIER_ADDRESS" => RuleKind::DestinationAddress(zt()),
        "MATCH_VLAN_ID" => RuleKind::VlanId(number16("vlanId")),
        "MATCH_VLAN_PCP" => RuleKind::VlanPcp(number8("vlanPcp")),
        "MATCH_VLAN_DEI" => RuleKind::VlanDei(number8("vlanDei")),
        "MATCH_MAC_SOURCE" => RuleKind::MacSource(mac()),
        "MATCH_MAC_DEST" => RuleKind::MacDestination(mac()),
        "MATCH_IPV4_SOURCE" => {
            let (ip, bits) = prefix4();
            RuleKind::Ipv4Source(ip, bits)
        }
        "MATCH_IPV4_DEST" => {
            let (ip, bits) = prefix4();
            RuleKind::Ipv4Destination(ip, bits)
        }
        "MATCH_IPV6_SOURCE" => {
            let (ip, bits) = prefix6();
            RuleKind::Ipv6Source(ip, bits)
        }
        "MATCH_IPV6_DEST" => {
            let (ip, bits) = prefix6();
            RuleKind::Ipv6Destination(ip, bits)
        }
        "MATCH_IP_TOS" => RuleKind::IpTos {
            mask: number8("mask"),
            start: number8("start"),
            end: number8("end"),
        },
        "MATCH_IP_PROTOCOL" => RuleKind::IpProtocol(number8("ipProtocol")),
        "MATCH_ETHERTYPE" => RuleKind::EtherType(number16("etherType")),
        "MATCH_ICMP" => {
            let code = object.get("icmpCode").filter(|code| !code.is_null());
            RuleKind::Icmp {
                kind: number8("icmpType"),
                code: lenient::unsigned(code, 0) as u8,
                flags: u8::from(code.is_some()),
            }
        }
        "MATCH_IP_SOURCE_PORT_RANGE" => RuleKind::SourcePortRange(range().0, range().1),
        "MATCH_IP_DEST_PORT_RANGE" => RuleKind::DestinationPortRange(range().0, range().1),
        "MATCH_CHARACTERISTICS" => RuleKind::Characteristics(hexadecimal(object.get("mask"))),
        "MATCH_FRAME_SIZE_RANGE" => RuleKind::FrameSizeRange(range().0, range().1),
        "MATCH_RANDOM" => RuleKind::Random(lenient::unsigned32(object.get("probability"), 0)),
        "MATCH_TAGS_DIFFERENCE" => RuleKind::TagsDifference(tag()),
        "MATCH_TAGS_BITWISE_AND" => RuleKind::TagsBitwiseAnd(tag()),
        "MATCH_TAGS_BITWISE_OR" => RuleKind::TagsBitwiseOr(tag()),
        "MATCH_TAGS_BITWISE_XOR" => RuleKind::TagsBitwiseXor(tag()),
        "MATCH_TAGS_EQUAL" => RuleKind::TagsEqual(tag()),
        "MATCH_TAG_SENDER" => RuleKind::TagSender(tag()),
        "MATCH_TAG_RECEIVER" => RuleKind::TagReceiver(tag()),
        "INTEGER_RANGE" => {
            let bits = number("bits").clamp(1, 64) as u8;
            let little = lenient::boolean(object.get("little"), false);
            RuleKind::IntegerRange {
                start: hexadecimal(object.get("start")),
                end: hexadecimal(object.get("end")),
                index: number16("idx"),
                format: (bits - 1) | if little { 0x80 } else { 0 },
            }
        }
        _ => return None,
    })
}

/// As 1.14.1 reads it: an address that makes no sense is none, a length that makes no sense or is missing is 0.
fn rule_prefix(text: &str) -> (Option<IpAddr>, u32) {
    let (ip, bits) = text.split_once('/').unwrap_or((text, "0"));
    (ip.parse().ok(), bits.parse().unwrap_or(0))
}

/// A number in hexadecimal; 0 if it makes no sense.
fn hexadecimal(value: Option<&Value>) -> u64 {
    lenient::hexadecimal(value).unwrap_or(0)
}

/// One rule as it is stored and shown; none for those that have no JSON form.
pub(crate) fn render_rule(rule: &Rule) -> Option<Value> {
    let (name, fields) = render_kind(&rule.kind)?;
    let mut object = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    object.insert(String::from("type"), name.into());
    if name.starts_with("MATCH_") || name == "INTEGER_RANGE" {
        object.insert(String::from("not"), rule.not.into());
        object.insert(String::from("or"), rule.or.into());
    }
    Some(Value::Object(object))
}

fn render_kind(kind: &RuleKind) -> Option<(&'static str, Value)> {
    let node = |address: u64| Address::from_u64(address).to_string();
    let range = |start: u16, end: u16| json!({ "start": start, "end": end });
    let tag = |tag: TagValue| json!({ "id": tag.id, "value": tag.value });
    Some(match *kind {
        RuleKind::Drop => ("ACTION_DROP", Value::Null),
        RuleKind::Accept => ("ACTION_ACCEPT", Value::Null),
        RuleKind::Tee(to) => (
            "ACTION_TEE",
            json!({ "address": node(to.address), "flags": to.flags, "length": to.length }),
        ),
        RuleKind::Watch(to) => (
            "ACTION_WATCH",
            json!({ "address": node(to.address), "flags": to.flags, "length": to.length }),
        ),
        RuleKind::Redirect(to) => (
            "ACTION_REDIRECT",
            json!({ "address": node(to.address), "flags": to.flags }),
        ),
        RuleKind::Break => ("ACTION_BREAK", Value::Null),
        RuleKind::Priority | RuleKind::Unknown(_) => return None,
        RuleKind::SourceAddress(zt) => (
            "MATCH_SOURCE_ZEROTIER_ADDRESS",
            json!({ "zt": zt.to_string() }),
        ),
        RuleKind::DestinationAddress(zt) => (
            "MATCH_DEST_ZEROTIER_ADDRESS",
            json!({ "zt": zt.to_string() }),
        ),
        RuleKind::VlanId(id) => ("MATCH_VLAN_ID", json!({ "vlanId": id })),
        RuleKind::VlanPcp(pcp) => ("MATCH_VLAN_PCP", json!({ "vlanPcp": pcp })),
        RuleKind::VlanDei(dei) => ("MATCH_VLAN_DEI", json!({ "vlanDei": dei })),
        RuleKind::MacSource(mac) => ("MATCH_MAC_SOURCE", json!({ "mac": mac.to_string() })),
        RuleKind::MacDestination(mac) => ("MATCH_MAC_DEST", json!({ "mac": mac.to_string() })),
        RuleKind::Ipv4Source(ip, bits) => {
            ("MATCH_IPV4_SOURCE", json!({ "ip": format!("{ip}/{bits}") }))
        }
        RuleKind::Ipv4Destination(ip, bits) => {
            ("MATCH_IPV4_DEST", json!({ "ip": format!("{ip}/{bits}") }))
        }
        RuleKind::Ipv6Source(ip, bits) => {
            ("MATCH_IPV6_SOURCE", json!({ "ip": format!("{ip}/{bits}") }))
        }
        RuleKind::Ipv6Destination(ip, bits) => {
            ("MATCH_IPV6_DEST", json!({ "ip": format!("{ip}/{bits}") }))
        }
        RuleKind::IpTos { mask, start, end } => (
            "MATCH_IP_TOS",
            json!({ "mask": mask, "start": start, "end": end }),
        ),
        RuleKind::IpProtocol(protocol) => ("MATCH_IP_PROTOCOL", json!({ "ipProtocol": protocol })),
        RuleKind::EtherType(kind) => ("MATCH_ETHERTYPE", json!({ "etherType": kind })),
        RuleKind::Icmp { kind, code, flags } => {
            let code = (flags & 1 != 0).then_some(code);
            ("MATCH_ICMP", json!({ "icmpType": kind, "icmpCode": code }))
        }
        RuleKind::SourcePortRange(start, end) => ("MATCH_IP_SOURCE_PORT_RANGE", range(start, end)),
        RuleKind::DestinationPortRange(start, end) => {
            ("MATCH_IP_DEST_PORT_RANGE", range(start, end))
        }
        RuleKind::Characteristics(mask) => (
            "MATCH_CHARACTERISTICS",
            json!({ "mask": format!("{mask:016x}") }),
        ),
        RuleKind::FrameSizeRange(start, end) => ("MATCH_FRAME_SIZE_RANGE", range(start, end)),
        RuleKind::Random(probability) => ("MATCH_RANDOM", json!({ "probability": probability })),
        RuleKind::TagsDifference(value) => ("MATCH_TAGS_DIFFERENCE", tag(value)),
        RuleKind::TagsBitwiseAnd(value) => ("MATCH_TAGS_BITWISE_AND", tag(value)),
        RuleKind::TagsBitwiseOr(value) => ("MATCH_TAGS_BITWISE_OR", tag(value)),
        RuleKind::TagsBitwiseXor(value) => ("MATCH_TAGS_BITWISE_XOR", tag(value)),
        RuleKind::TagsEqual(value) => ("MATCH_TAGS_EQUAL", tag(value)),
        RuleKind::TagSender(value) => ("MATCH_TAG_SENDER", tag(value)),
        RuleKind::TagReceiver(value) => ("MATCH_TAG_RECEIVER", tag(value)),
        RuleKind::IntegerRange {
            start,
            end,
            index,
            format,
        } => (
            "INTEGER_RANGE",
            json!({
                "start": format!("{start:016x}"),
                "end": format!("{end:016x}"),
                "idx": index,
                "little": format & 0x80 != 0,
                "bits": (format & 0x3f) + 1,
            }),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        let value: Value = serde_json::from_str(text).unwrap();
        let rendered = render_rule(&parse_rule(&value)?)?;
        assert_eq!(
            parse_rule(&rendered)
                .and_then(|rule| render_rule(&rule))
                .as_ref(),
            Some(&rendered)
        );
        Some(rendered.to_string())
    }

    #[test]
    fn rendered_rules_are_read_back_unchanged() {
        for text in [
            r#"{"not":true,"or":true,"type":"MATCH_SOURCE_ZEROTIER_ADDRESS","zt":"5cd0ba70f5"}"#,
            r#"{"not":false,"or":false,"type":"MATCH_DEST_ZEROTIER_ADDRESS","zt":"5cd0ba70f5"}"#,
            r#"{"icmpCode":null,"icmpType":8,"not":false,"or":false,"type":"MATCH_ICMP"}"#,
            r#"{"icmpCode":0,"icmpType":8,"not":false,"or":false,"type":"MATCH_ICMP"}"#,
            r#"{"end":90,"not":false,"or":false,"start":80,"type":"MATCH_IP_DEST_PORT_RANGE"}"#,
            r#"{"end":90,"not":false,"or":true,"start":80,"type":"MATCH_IP_SOURCE_PORT_RANGE"}"#,
            r#"{"mask":"0000000000000012","not":false,"or":false,"type":"MATCH_CHARACTERISTICS"}"#,
            r#"{"address":"caf20f3e73","flags":1,"length":64,"type":"ACTION_TEE"}"#,
            r#"{"address":"caf20f3e73","flags":1,"length":64,"type":"ACTION_WATCH"}"#,
            r#"{"address":"caf20f3e73","flags":1,"type":"ACTION_REDIRECT"}"#,
            r#"{"type":"ACTION_DROP"}"#,
            r#"{"type":"ACTION_ACCEPT"}"#,
            r#"{"type":"ACTION_BREAK"}"#,
            r#"{"not":false,"or":false,"type":"MATCH_VLAN_ID","vlanId":100}"#,
            r#"{"not":false,"or":false,"type":"MATCH_VLAN_PCP","vlanPcp":5}"#,
            r#"{"not":false,"or":false,"type":"MATCH_VLAN_DEI","vlanDei":1}"#,
            r#"{"mac":"aa:bb:cc:dd:ee:ff","not":false,"or":false,"type":"MATCH_MAC_SOURCE"}"#,
            r#"{"mac":"aa:bb:cc:dd:ee:ff","not":false,"or":false,"type":"MATCH_MAC_DEST"}"#,
            r#"{"ip":"10.0.0.0/8","not":false,"or":false,"type":"MATCH_IPV4_SOURCE"}"#,
            r#"{"ip":"10.0.0.0/8","not":false,"or":false,"type":"MATCH_IPV4_DEST"}"#,
            r#"{"ip":"fd00::/8","not":false,"or":false,"type":"MATCH_IPV6_SOURCE"}"#,
            r#"{"ip":"fd00::/8","not":false,"or":false,"type":"MATCH_IPV6_DEST"}"#,
            r#"{"end":9,"mask":255,"not":false,"or":false,"start":1,"type":"MATCH_IP_TOS"}"#,
            r#"{"ipProtocol":6,"not":false,"or":false,"type":"MATCH_IP_PROTOCOL"}"#,
            r#"{"etherType":2048,"not":true,"or":false,"type":"MATCH_ETHERTYPE"}"#,
            r#"{"end":1500,"not":false,"or":false,"start":64,"type":"MATCH_FRAME_SIZE_RANGE"}"#,
            r#"{"not":false,"or":false,"probability":4294967295,"type":"MATCH_RANDOM"}"#,
            r#"{"id":5,"not":false,"or":false,"type":"MATCH_TAGS_DIFFERENCE","value":9}"#,
            r#"{"id":5,"not":false,"or":false,"type":"MATCH_TAGS_BITWISE_AND","value":9}"#,
            r#"{"id":5,"not":false,"or":false,"type":"MATCH_TAGS_BITWISE_OR","value":9}"#,
            r#"{"id":5,"not":false,"or":false,"type":"MATCH_TAGS_BITWISE_XOR","value":9}"#,
            r#"{"id":5,"not":false,"or":false,"type":"MATCH_TAGS_EQUAL","value":9}"#,
            r#"{"id":5,"not":false,"or":false,"type":"MATCH_TAG_SENDER","value":9}"#,
            r#"{"id":5,"not":false,"or":false,"type":"MATCH_TAG_RECEIVER","value":9}"#,
            r#"{"bits":16,"end":"00000000000000ff","idx":3,"little":true,"not":false,"or":false,"start":"0000000000000001","type":"INTEGER_RANGE"}"#,
        ] {
            assert_eq!(again(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn other_spellings_are_accepted() {
        for (text, expected) in [
            (
                r#"{"type":"ACTION_ACCEPT","not":true,"or":true}"#,
                r#"{"type":"ACTION_ACCEPT"}"#,
            ),
            (
                r#"{"type":"MATCH_IPV4_SOURCE","ip":"10.0.0.1"}"#,
                r#"{"ip":"10.0.0.1/0","not":false,"or":false,"type":"MATCH_IPV4_SOURCE"}"#,
            ),
            (
                r#"{"type":"MATCH_IPV6_DEST","ip":"fd00::1/200"}"#,
                r#"{"ip":"fd00::1/128","not":false,"or":false,"type":"MATCH_IPV6_DEST"}"#,
            ),
            (
                r#"{"type":"MATCH_IP_DEST_PORT_RANGE","start":22}"#,
                r#"{"end":22,"not":false,"or":false,"start":22,"type":"MATCH_IP_DEST_PORT_RANGE"}"#,
            ),
            (
                r#"{"type":"MATCH_CHARACTERISTICS","mask":2}"#,
                r#"{"mask":"0000000000000002","not":false,"or":false,"type":"MATCH_CHARACTERISTICS"}"#,
            ),
            (
                r#"{"type":"MATCH_MAC_DEST","mac":"AABBCCDDEEFF"}"#,
                r#"{"mac":"aa:bb:cc:dd:ee:ff","not":false,"or":false,"type":"MATCH_MAC_DEST"}"#,
            ),
            (
                r#"{"type":"MATCH_IPV4_SOURCE"}"#,
                r#"{"ip":"0.0.0.0/0","not":false,"or":false,"type":"MATCH_IPV4_SOURCE"}"#,
            ),
            (
                r#"{"type":"MATCH_IPV6_SOURCE","ip":"10.0.0.0/8"}"#,
                r#"{"ip":"::/8","not":false,"or":false,"type":"MATCH_IPV6_SOURCE"}"#,
            ),
            (
                r#"{"type":"MATCH_IPV4_DEST","ip":"10.0.0.1/77"}"#,
                r#"{"ip":"10.0.0.1/32","not":false,"or":false,"type":"MATCH_IPV4_DEST"}"#,
            ),
            (
                r#"{"type":"MATCH_MAC_DEST","mac":"zz"}"#,
                r#"{"mac":"00:00:00:00:00:00","not":false,"or":false,"type":"MATCH_MAC_DEST"}"#,
            ),
            (
                r#"{"type":"MATCH_SOURCE_ZEROTIER_ADDRESS","zt":"1"}"#,
                r#"{"not":false,"or":false,"type":"MATCH_SOURCE_ZEROTIER_ADDRESS","zt":"0000000001"}"#,
            ),
            (
                r#"{"type":"ACTION_TEE"}"#,
                r#"{"address":"0000000000","flags":0,"length":0,"type":"ACTION_TEE"}"#,
            ),
            (
                r#"{"type":"MATCH_ETHERTYPE","etherType":"2048","not":1}"#,
                r#"{"etherType":2048,"not":true,"or":false,"type":"MATCH_ETHERTYPE"}"#,
            ),
        ] {
            assert_eq!(again(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn nonsense_is_dropped() {
        let rules = json!([
            5,
            null,
            {},
            { "type": 1 },
            { "type": "ACTION_PRIORITY" },
            { "type": "MATCH_UNKNOWN" },
            { "type": "ACTION_DROP" },
        ]);
        assert_eq!(
            parse_rules(Some(&rules)),
            [Rule::new(RuleKind::Drop)].to_vec()
        );
        assert!(parse_rules(Some(&json!("text"))).is_empty());
        assert!(parse_rules(None).is_empty());
        assert_eq!(render_rules(&[Rule::new(RuleKind::Unknown(60))]), json!([]));
    }
}
