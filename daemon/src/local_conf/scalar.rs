//! Lenient conversions: `local.conf` accepts numbers, booleans and text for one another (service specification B).

use serde_json::Value;

/// A boolean, a positive number, or text that begins with t, T or 1.
pub fn boolean(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64().is_some_and(|number| number > 0.0),
        Value::String(text) => text.starts_with(['t', 'T', '1']),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A number, decimal text, or a boolean.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?.trunc();
            // `as` saturates, which is what a number beyond the range should do.
            number.is_finite().then_some(number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// As [`integer`], for the full range of unsigned numbers.
pub(super) fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        _ => value
            .as_u64()
            .or_else(|| integer(value).and_then(|number| u64::try_from(number).ok())),
    }
}

/// Text, a number, or a boolean (`1` or `0`).
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(u8::from(*value).to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conversions() {
        for value in [
            json!(true),
            json!(2),
            json!(0.5),
            json!("t"),
            json!("True"),
            json!("1x"),
        ] {
            assert!(boolean(&value), "{value}");
        }
        for value in [
            json!(false),
            json!(0),
            json!(-1),
            json!("yes"),
            json!(null),
            json!([1]),
        ] {
            assert!(!boolean(&value), "{value}");
        }
        assert_eq!(integer(&json!("42")), Some(42));
        assert_eq!(integer(&json!(true)), Some(1));
        assert_eq!(integer(&json!(3.9)), Some(3));
        assert_eq!(integer(&json!("many")), None);
        assert_eq!(unsigned(&json!(u64::MAX)), Some(u64::MAX));
        assert_eq!(unsigned(&json!(-1)), None);
        assert_eq!(text(&json!(7)), Some("7".to_owned()));
        assert_eq!(text(&json!(true)), Some("1".to_owned()));
        assert_eq!(text(&json!({})), None);
    }
}
