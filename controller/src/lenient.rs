//! The lenient conversions that clients rely on (service specification B, F.5): scalars of the wrong JSON type are
//! converted where 1.14.1 does so.

use std::net::IpAddr;

use protocol::{Address, IpPrefix, MacAddress};
use serde_json::Value;

/// Longest array that is looked at; the rest is cut off.
pub(crate) const MAX_ARRAY: usize = 16_384;

/// A boolean: also a number (above 0) or a string that begins with t, T or 1.
pub(crate) fn boolean(value: Option<&Value>, default: bool) -> bool {
    match value {
        Some(Value::Bool(value)) => *value,
        Some(Value::Number(number)) => number.as_f64().is_some_and(|n| n > 0.0),
        Some(Value::String(text)) => text.starts_with(['t', 'T', '1']),
        _ => default,
    }
}

/// A non-negative integer: also a decimal string or a boolean. Fractions are cut off, negative numbers become 0.
pub(crate) fn unsigned(value: Option<&Value>, default: u64) -> u64 {
    match value {
        Some(Value::Number(number)) => number
            .as_u64()
            .unwrap_or_else(|| number.as_f64().unwrap_or(0.0) as u64),
        Some(Value::String(text)) => decimal(text),
        Some(Value::Bool(value)) => u64::from(*value),
        _ => default,
    }
}

/// As [`unsigned`], limited to 32 bits.
pub(crate) fn unsigned32(value: Option<&Value>, default: u32) -> u32 {
    u32::try_from(unsigned(value, default.into())).unwrap_or(u32::MAX)
}

/// An id or value in an array: a number or decimal string that fits 32 bits, else nothing.
pub(crate) fn element32(value: Option<&Value>) -> Option<u32> {
    match value? {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A string: also a number, or a boolean as 1 or 0.
pub(crate) fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(String::from(if *value { "1" } else { "0" })),
        _ => None,
    }
}

/// A hexadecimal number, given as a string or as a JSON number.
pub(crate) fn hexadecimal(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(text) if text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(text, 16).ok()
        }
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// A node address: 10 hexadecimal digits.
pub(crate) fn address(value: Option<&Value>) -> Option<Address> {
    value?.as_str()?.parse().ok()
}

/// A MAC address: 12 hexadecimal digits, with or without separators.
pub(crate) fn mac(value: Option<&Value>) -> Option<MacAddress> {
    let digits: String = value?
        .as_str()?
        .chars()
        .filter(|c| !matches!(c, ':' | '-'))
        .collect();
    if digits.len() != 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let [.., a, b, c, d, e, f] = u64::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    Some(MacAddress([a, b, c, d, e, f]))
}

/// An IP address; what follows a slash is ignored.
pub(crate) fn ip(value: Option<&Value>) -> Option<IpAddr> {
    let text = value?.as_str()?;
    text.split('/').next()?.parse().ok()
}

/// An IP address with prefix length. A missing length is `missing` of the family's longest prefix; one that is too long
/// or no number gives nothing.
pub(crate) fn prefix(text: &str, missing: impl Fn(u8) -> u8) -> Option<IpPrefix> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits)),
        None => (text, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let longest = longest_prefix(ip);
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= longest)?,
        None => missing(longest),
    };
    Some(IpPrefix { ip, bits })
}

/// 32 or 128.
pub(crate) const fn longest_prefix(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The elements of an array, at most [`MAX_ARRAY`]; nothing if it is no array.
pub(crate) fn elements(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(MAX_ARRAY)
}

/// Leading decimal digits.
fn decimal(text: &str) -> u64 {
    text.trim_start()
        .chars()
        .map_while(|c| c.to_digit(10))
        .fold(0, |value: u64, digit| {
            value.saturating_mul(10).saturating_add(digit.into())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_of_other_types_are_converted() {
        for (value, expected) in [
            (json!(true), true),
            (json!(2), true),
            (json!(0), false),
            (json!(-1), false),
            (json!("true"), true),
            (json!("T"), true),
            (json!("1"), true),
            (json!("yes"), false),
        ] {
            assert_eq!(boolean(Some(&value), !expected), expected, "{value}");
        }
        assert!(boolean(Some(&json!([])), true));
        assert!(!boolean(None, false));
        for (value, expected) in [
            (json!(7), 7),
            (json!(7.9), 7),
            (json!(-3), 0),
            (json!("12"), 12),
            (json!("12ab"), 12),
            (json!("x"), 0),
            (json!(true), 1),
            (json!(null), 99),
            (json!({}), 99),
        ] {
            assert_eq!(unsigned(Some(&value), 99), expected, "{value}");
        }
        assert_eq!(text(Some(&json!(5))).as_deref(), Some("5"));
        assert_eq!(text(Some(&json!(false))).as_deref(), Some("0"));
        assert_eq!(text(Some(&json!(null))), None);
    }

    #[test]
    fn addresses_are_read_with_and_without_decoration() {
        let expected = MacAddress([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f]);
        for text in ["aa:bb:cc:dd:ee:0f", "AABBCCDDEE0F"] {
            assert_eq!(mac(Some(&json!(text))), Some(expected));
        }
        assert_eq!(mac(Some(&json!("aa:bb"))), None);
        assert_eq!(ip(Some(&json!("10.0.0.1/24"))), "10.0.0.1".parse().ok());
        assert_eq!(ip(Some(&json!(5))), None);
        assert_eq!(prefix("10.0.0.1", |longest| longest).unwrap().bits, 32);
        assert_eq!(prefix("fd00::1", |_| 0).unwrap().bits, 0);
        assert!(prefix("10.0.0.0/33", |_| 0).is_none());
        assert!(prefix("10.0.0.0/x", |_| 0).is_none());
        assert!(prefix("", |_| 0).is_none());
    }
}
