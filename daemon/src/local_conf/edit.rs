//! Changes of one value in the text of `local.conf`: everything else stays as its author wrote it, order and white space
//! included.

use serde_json::{Map, Value};

/// Indentation of files that show none of their own.
const INDENT: &str = "    ";

/// One `"key": value` of an object; positions are bytes of the text.
struct Member {
    key: String,
    key_at: usize,
    value: std::ops::Range<usize>,
}

/// An object's members, and where its closing brace is.
struct Object {
    members: Vec<Member>,
    open: usize,
    close: usize,
}

/// `text`, a JSON object, with the value at `path` set. The last key of the path is the one for which `is_key` is true, if
/// the object has such; otherwise it is as given. `None` if the text is no JSON object, or any but the last key of the path
/// holds something other than an object.
pub(super) fn set(
    text: &str,
    path: &[&str],
    is_key: impl Fn(&str) -> bool,
    value: &Value,
) -> Option<String> {
    let wanted: Value = serde_json::from_str(text).ok()?;
    wanted.as_object()?;
    let unit = unit_of(text);
    let mut at = skip_space(text, 0);
    for (depth, key) in path.iter().enumerate() {
        let is_last = depth + 1 == path.len();
        let object = read_object(text, at)?;
        let found = object
            .members
            .iter()
            .rev()
            .find(|member| member.key == *key || (is_last && is_key(&member.key)));
        match found {
            Some(member) if is_last => {
                let is_flat = !text[object.open..object.close].contains('\n');
                let shown = show(value, &indent_at(text, member.key_at), &unit, is_flat);
                let name = Value::from(*key).to_string();
                let before = &text[..member.key_at];
                let between = &text[end_of_string(text, member.key_at)..member.value.start];
                let after = &text[member.value.end..];
                return Some(format!("{before}{name}{between}{shown}{after}"));
            }
            Some(member) => at = member.value.start,
            None => {
                let nested = path[depth + 1..]
                    .iter()
                    .rev()
                    .fold(value.clone(), |inner, key| {
                        Value::Object(Map::from_iter([((*key).to_owned(), inner)]))
                    });
                return Some(insert(text, &object, key, &nested, &unit));
            }
        }
    }
    None
}

/// The text with a member more at the end of an object.
fn insert(text: &str, object: &Object, key: &str, value: &Value, unit: &str) -> String {
    let inside = &text[object.open..object.close];
    let name = Value::from(key);
    if let Some(last) = object.members.last() {
        let end = last.value.end;
        if !inside.contains('\n') {
            let shown = show(value, "", unit, true);
            return format!("{}, {name}: {shown}{}", &text[..end], &text[end..]);
        }
        let indent = indent_at(text, last.key_at);
        let shown = show(value, &indent, unit, false);
        return format!("{},\n{indent}{name}: {shown}{}", &text[..end], &text[end..]);
    }
    let outer = indent_at(text, object.open);
    let indent = format!("{outer}{unit}");
    let shown = show(value, &indent, unit, false);
    let (before, after) = (&text[..=object.open], &text[object.close..]);
    format!("{before}\n{indent}{name}: {shown}\n{outer}{after}")
}

/// A value as it stands after a key that is indented by `indent`.
fn show(value: &Value, indent: &str, unit: &str, is_flat: bool) -> String {
    if is_flat {
        return value.to_string();
    }
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    let written = serde::Serialize::serialize(value, &mut serializer);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    String::from_utf8_lossy(&out).replace('\n', &format!("\n{indent}"))
}

/// What the first indented line is indented by.
fn unit_of(text: &str) -> String {
    let lines = text.lines().skip(1);
    let blank = |line: &str| line[..line.len() - line.trim_start().len()].to_owned();
    lines
        .filter(|line| !line.trim().is_empty())
        .map(blank)
        .find(|blank| !blank.is_empty())
        .unwrap_or_else(|| INDENT.to_owned())
}

/// White space at the beginning of the line that holds a position.
fn indent_at(text: &str, at: usize) -> String {
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = &text[line..];
    line[..line.len() - line.trim_start_matches([' ', '\t']).len()].to_owned()
}

fn skip_space(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    at + (rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len())
}

/// The position after a string that begins at `at`, in valid JSON.
fn end_of_string(text: &str, at: usize) -> usize {
    let mut bytes = text.bytes().enumerate().skip(at + 1);
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The position after a value that begins at `at`, in valid JSON.
fn end_of_value(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut index) = (0_usize, at);
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'"' => {
                index = end_of_string(text, index);
                if depth == 0 {
                    return index;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 0 { index } else { index + 1 },
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return index,
            _ => {}
        }
        index += 1;
    }
    text.len()
}

/// The object that begins at `open`, in valid JSON; none if something else does.
fn read_object(text: &str, open: usize) -> Option<Object> {
    let bytes = text.as_bytes();
    if bytes.get(open) != Some(&b'{') {
        return None;
    }
    let mut members = Vec::new();
    let mut at = skip_space(text, open + 1);
    while bytes.get(at) == Some(&b'"') {
        let key_end = end_of_string(text, at);
        let key = serde_json::from_str(&text[at..key_end]).ok()?;
        let start = skip_space(text, skip_space(text, key_end) + 1);
        let end = end_of_value(text, start);
        members.push(Member {
            key,
            key_at: at,
            value: start..end,
        });
        at = skip_space(text, end);
        if bytes.get(at) == Some(&b',') {
            at = skip_space(text, at + 1);
        }
    }
    (bytes.get(at) == Some(&b'}')).then_some(Object {
        members,
        open,
        close: at,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PATH: [&str; 3] = ["settings", "peerSpecificBonds", "a92cb526fa"];

    fn edited(text: &str, value: &Value) -> String {
        let is_peer = |key: &str| key.eq_ignore_ascii_case("a92cb526fa");
        set(text, &PATH, is_peer, value).unwrap()
    }

    #[test]
    fn the_rest_of_the_file_stays_as_it_was() {
        let text = "{\n  \"zebra\": [1,2 , 3],\n  \"settings\": {\n    \"primaryPort\": 9993,\n\n    \
                    \"peerSpecificBonds\": { \"16a03a3d03\": \"none\" }\n  }\n}\n";
        assert_eq!(
            edited(text, &json!("balance-rr")),
            text.replace("\"none\" }", "\"none\", \"a92cb526fa\": \"balance-rr\" }")
        );
        let text = text.replace(
            "\"16a03a3d03\": \"none\"",
            "\"A92CB526FA\" :  {\"x\": \"},\\\"\"}",
        );
        assert_eq!(
            edited(&text, &json!({"policy": "office"})),
            text.replace(
                "\"A92CB526FA\" :  {\"x\": \"},\\\"\"}",
                "\"a92cb526fa\" :  {\"policy\":\"office\"}"
            )
        );
    }

    #[test]
    fn what_is_missing_is_added_in_the_files_own_indentation() {
        let text = "{\n\t\"settings\": {\n\t\t\"primaryPort\": 9993\n\t}\n}";
        assert_eq!(
            edited(text, &json!("none")),
            "{\n\t\"settings\": {\n\t\t\"primaryPort\": 9993,\n\t\t\"peerSpecificBonds\": {\n\t\t\t\
             \"a92cb526fa\": \"none\"\n\t\t}\n\t}\n}"
        );
        assert_eq!(
            edited("{}", &json!({"policy": "x"})),
            "{\n    \"settings\": {\n        \"peerSpecificBonds\": {\n            \"a92cb526fa\": {\n                \
             \"policy\": \"x\"\n            }\n        }\n    }\n}"
        );
        assert_eq!(
            edited("{\"settings\":{\"a\":[{}],\"b\":\"}\"}}", &json!("x")),
            "{\"settings\":{\"a\":[{}],\"b\":\"}\", \"peerSpecificBonds\": {\"a92cb526fa\":\"x\"}}}"
        );
    }

    #[test]
    fn every_result_is_what_an_edit_of_the_document_gives() {
        let values = [
            json!("none"),
            json!({"links": {"wan1": {}}, "policy": "p"}),
            json!({}),
        ];
        for text in [
            "{}",
            " { } ",
            "{\"settings\": {}}",
            "{\"settings\": {\"peerSpecificBonds\": {}}, \"x\": null}",
            "{\r\n\"settings\":{\r\n\"peerSpecificBonds\":{\r\n\"a92cb526fa\":[1,{\"q\":\"]\\\\\"}]\r\n}}}",
            "{\"a\":1,\"settings\":{\"k\":-1.5e3 ,\"l\":true}}",
        ] {
            for value in &values {
                let mut expected: Value = serde_json::from_str(text).unwrap();
                expected["settings"]["peerSpecificBonds"]["a92cb526fa"] = value.clone();
                let found: Value = serde_json::from_str(&edited(text, value)).unwrap();
                assert_eq!(found, expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        for text in [
            "",
            "[]",
            "{\"settings\": 5}",
            "{\"settings\": {\"peerSpecificBonds\": []}}",
            "{x}",
        ] {
            assert_eq!(set(text, &PATH, |_| false, &json!(1)), None, "{text}");
        }
    }
}
