//! Reading fields of the service's answers, and the layout of JSON that is printed.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// One key per line, one space per level, keys in order, a newline at the end (service specification D.4).
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b" "));
    // Writing JSON values to memory does not fail.
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok(), "{written:?}");
    let mut text = String::from_utf8_lossy(&out).into_owned();
    text.push('\n');
    text
}

/// The string under `key`, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// The whole number under `key`; truth values are 0 and 1; 0 if there is none.
pub(crate) fn integer(value: &Value, key: &str) -> i64 {
    match &value[key] {
        Value::Bool(flag) => i64::from(*flag),
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64))
            .unwrap_or(0),
        _ => 0,
    }
}

/// The number under `key`, 0 if there is none.
pub(crate) fn float(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or(0.0)
}

/// The truth value under `key`, false if there is none.
pub(crate) fn flag(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or(false)
}

/// The list under `key`, empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    elements(&value[key])
}

/// The elements of a list; of anything else, none.
pub(crate) fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_one_space_per_level_and_keys_in_order() {
        let value: Value = serde_json::from_str(r#"{"b":[1,{"x":null}],"a":[],"c":{}}"#).unwrap();
        assert_eq!(
            pretty(&value),
            "{\n \"a\": [],\n \"b\": [\n  1,\n  {\n   \"x\": null\n  }\n ],\n \"c\": {}\n}\n"
        );
    }
}
