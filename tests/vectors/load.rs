//! Finds and reads golden data.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where golden data lies, if it does.
pub(crate) fn directory() -> PathBuf {
    std::env::var_os("HAWSER_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    )
}

/// A file of golden data. Where there is none, says so on standard output (past the test harness, which would keep
/// the line to itself) and returns none: the test then has nothing to check. A file that is there but no JSON fails the test.
pub(crate) fn json(name: &str) -> Option<Value> {
    let text = text(&directory().join(name))?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name} is no JSON: {error}")))
}

/// As [`json`], for any text file.
pub(crate) fn text(path: &Path) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(path, &error.to_string());
            None
        }
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Says that a test has nothing to work on.
pub(crate) fn skip(path: &Path, reason: &str) {
    use std::io::Write as _;
    let line = format!("skipped: {} ({reason})\n", path.display());
    // Not `println!`, which the harness captures.
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("standard output takes a line");
}

/// The list under `key`; a list that is absent or empty would let a test pass that checks nothing.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value[key]
        .as_array()
        .unwrap_or_else(|| panic!("no list {key:?}"));
    assert!(!list.is_empty(), "list {key:?} is empty");
    list
}

/// The string under `key`.
pub(crate) fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no string {key:?} in {}", shortened(value)))
}

/// The truth value under `key`.
pub(crate) fn boolean(value: &Value, key: &str) -> bool {
    value[key]
        .as_bool()
        .unwrap_or_else(|| panic!("no truth value {key:?} in {}", shortened(value)))
}

/// The unsigned number under `key`.
pub(crate) fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key:?} in {}", shortened(value)))
}

/// The hexadecimal string under `key`, as bytes.
pub(crate) fn bytes(value: &Value, key: &str) -> Vec<u8> {
    hex::decode(string(value, key)).unwrap_or_else(|error| panic!("{key:?}: {error}"))
}

/// As [`bytes`], of a known length.
pub(crate) fn array<const N: usize>(value: &Value, key: &str) -> [u8; N] {
    let bytes = bytes(value, key);
    let length = bytes.len();
    bytes
        .try_into()
        .unwrap_or_else(|_| panic!("{key:?} has {length} bytes instead of {N}"))
}

fn shortened(value: &Value) -> String {
    let mut text = String::new();
    write!(text, "{value:.200}").expect("a string takes text");
    text.chars().take(200).collect()
}
