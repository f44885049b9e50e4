//! Reads typed values out of a JSON object and notes what is wrong with them, once per case and with its place.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{ConfigProblem, Severity};

/// An object of the configuration at its place.
pub(super) struct Reader<'a> {
    object: &'a Map<String, Value>,
    path: String,
    pub(super) problems: &'a mut Vec<ConfigProblem>,
}

/// What a value is called in a complaint.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Notes a problem.
pub(super) fn complain(
    problems: &mut Vec<ConfigProblem>,
    path: &str,
    severity: Severity,
    reason: impl Into<String>,
) {
    problems.push(ConfigProblem {
        path: path.to_owned(),
        reason: reason.into(),
        severity,
    });
}

impl<'a> Reader<'a> {
    /// `None`, and a complaint, if `value` is no object.
    pub(super) fn new(
        value: &'a Value,
        path: &str,
        problems: &'a mut Vec<ConfigProblem>,
    ) -> Option<Self> {
        let Value::Object(object) = value else {
            let reason = format!("must be an object, is {}", kind(value));
            complain(problems, path, Severity::Error, reason);
            return None;
        };
        Some(Self {
            object,
            path: path.to_owned(),
            problems,
        })
    }

    pub(super) fn place(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    pub(super) fn error(&mut self, key: &str, reason: impl Into<String>) {
        let place = self.place(key);
        complain(self.problems, &place, Severity::Error, reason);
    }

    pub(super) fn warn(&mut self, key: &str, reason: impl Into<String>) {
        let place = self.place(key);
        complain(self.problems, &place, Severity::Warning, reason);
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key)
    }

    /// The one of several spellings that is there; more than one is an error.
    pub(super) fn spelling(&mut self, keys: &[&'static str]) -> Option<&'static str> {
        let mut present = keys.iter().filter(|key| self.object.contains_key(**key));
        let first = present.next()?;
        if let Some(second) = present.next() {
            self.error(
                second,
                format!("means the same as {first}, which is there too"),
            );
        }
        Some(first)
    }

    /// Warns of every key that is not in `known`.
    pub(super) fn warn_of_others(&mut self, known: &[&[&str]]) {
        let unknown: Vec<&String> = self
            .object
            .keys()
            .filter(|key| !known.iter().any(|keys| keys.contains(&key.as_str())))
            .collect();
        for key in unknown {
            self.warn(key, "is no key that is known here, and has no effect");
        }
    }

    /// Keys of features that there are not: only to say that they are not wanted is no mistake.
    pub(super) fn refuse(&mut self, keys: &[&str]) {
        for key in keys {
            let off = [Value::Bool(false), Value::Null, Value::from(0)];
            if self.get(key).is_some_and(|value| !off.contains(value)) {
                self.error(key, "is not supported");
            }
        }
    }

    pub(super) fn integer(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.get(key)?;
        match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ if value.is_number() => {
                self.error(
                    key,
                    format!("must be an integer from {least} to {most}, is {value}"),
                );
                None
            }
            _ => {
                let reason = format!(
                    "must be an integer from {least} to {most}, is {}",
                    kind(value)
                );
                self.error(key, reason);
                None
            }
        }
    }

    pub(super) fn millis(&mut self, key: &str, least: u64, most: u64) -> Option<Duration> {
        self.integer(key, least, most).map(Duration::from_millis)
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        if value.as_bool().is_none() {
            self.error(key, format!("must be true or false, is {}", kind(value)));
        }
        value.as_bool()
    }

    pub(super) fn number(&mut self, key: &str, least: f64, most: f64) -> Option<f64> {
        let value = self.get(key)?;
        match value.as_f64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                self.error(key, format!("must be from {least} to {most}, is {number}"));
                None
            }
            None => {
                self.error(key, format!("must be a number, is {}", kind(value)));
                None
            }
        }
    }

    pub(super) fn positive(&mut self, key: &str) -> Option<f64> {
        let number = self.number(key, 0.0, f64::MAX)?;
        if number == 0.0 {
            self.error(key, "must be more than 0");
            return None;
        }
        Some(number)
    }

    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        let value = self.get(key)?;
        if value.as_str().is_none() {
            self.error(key, format!("must be a string, is {}", kind(value)));
        }
        value.as_str()
    }

    /// One of several names.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, names: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = names.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            self.error(
                key,
                format!("must be one of {}, is {text:?}", names.join(", ")),
            );
        }
        found.map(|(_, value)| *value)
    }
}
