//! What differs between two documents, in words.

use serde_json::Value;

/// Lines at most; who changes more than that knows what.
const MAX_LINES: usize = 32;

/// A line per value that differs: its place, what it is, what it was.
pub(super) fn between(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", old, new, &mut lines);
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn compare(place: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    let empty = serde_json::Map::new();
    // What is absent counts as empty beside an object, so that the keys that came or went are named.
    let (old_keys, new_keys) = match (old, new) {
        (Value::Object(old), Value::Object(new)) => (old, new),
        (Value::Null, Value::Object(new)) if !new.is_empty() => (&empty, new),
        (Value::Object(old), Value::Null) if !old.is_empty() => (old, &empty),
        (Value::Null, new) => return lines.push(format!("{place}: {new}, was absent")),
        (old, Value::Null) => return lines.push(format!("{place}: absent, was {old}")),
        (old, new) => return lines.push(format!("{place}: {new}, was {old}")),
    };
    let added = new_keys.keys().filter(|key| !old_keys.contains_key(*key));
    for key in old_keys.keys().chain(added) {
        let inner = match place {
            "" => key.clone(),
            place => format!("{place}.{key}"),
        };
        let value =
            |keys: &serde_json::Map<String, Value>| keys.get(key).cloned().unwrap_or_default();
        compare(&inner, &value(old_keys), &value(new_keys), lines);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_that_differs_is_a_line() {
        let old = json!({"a": 1, "p": {"x": {"upDelay": 5}, "y": {}}, "same": [1]});
        let new = json!({"a": 1, "p": {"x": {"upDelay": 7, "links": {"wan1": {}}}}, "same": [1], "b": "c"});
        assert_eq!(
            between(&old, &new),
            [
                "p.x.upDelay: 7, was 5",
                "p.x.links.wan1: {}, was absent",
                "p.y: absent, was {}",
                "b: \"c\", was absent",
            ]
        );
        assert!(between(&old, &old).is_empty());
        let many: Value = (0..40)
            .map(|n| (n.to_string(), json!(n)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(between(&json!({}), &many).last().unwrap(), "and 8 more");
    }
}
