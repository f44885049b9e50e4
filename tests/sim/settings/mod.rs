//! Every key of bonding, one test each: which values are taken, with which words others are refused, and what a value does to
//! the traffic between two members.

/// Runs a check once in the process: the test of a key and that of a finding share it, and it takes minutes of virtual time.
macro_rules! once {
    ($check:ident) => {{
        static RUN: std::sync::Once = std::sync::Once::new();
        RUN.call_once($check);
    }};
}

mod amounts;
pub(crate) mod links;
pub(crate) mod policies;
pub(crate) mod quality;
pub(crate) mod shares;
pub(crate) mod timing;
pub(crate) mod traffic;
mod wrong_types;

use bond::{BondSettings, PolicySettings, Severity};
use serde_json::{Value, json};

/// The errors in `settings`, as `path: reason`.
pub(crate) fn errors(settings: &Value) -> Vec<String> {
    let (_, problems) = BondSettings::parse(settings);
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    errors
        .map(|problem| format!("{}: {}", problem.path, problem.reason))
        .collect()
}

/// The warnings in `settings`, as `path: reason`.
pub(crate) fn warnings(settings: &Value) -> Vec<String> {
    let (_, problems) = BondSettings::parse(settings);
    let warnings = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Warning);
    warnings
        .map(|problem| format!("{}: {}", problem.path, problem.reason))
        .collect()
}

/// The one key of a policy, balance-rr unless it matters.
fn keyed(key: &str, value: Value) -> Value {
    json!({"balance-rr": {key: value}})
}

/// The one key of a link.
fn linked(key: &str, value: Value) -> Value {
    json!({"balance-rr": {"links": {"sim0": {key: value}}}})
}

/// What becomes of a policy with this key.
fn parsed(settings: &Value) -> PolicySettings {
    let (parsed, problems) = BondSettings::parse(settings);
    assert!(problems.is_empty(), "{settings}: {problems:?}");
    (*parsed.policies["balance-rr"]).clone()
}

/// A key of a policy is refused with exactly this reason.
fn refuses(key: &str, value: Value, reason: &str) {
    assert_eq!(
        errors(&keyed(key, value)),
        [format!("settings.balance-rr.{key}: {reason}")]
    );
}

/// A key of a link is refused with exactly this reason.
fn refuses_of_link(key: &str, value: Value, reason: &str) {
    assert_eq!(
        errors(&linked(key, value)),
        [format!("settings.balance-rr.links.sim0.{key}: {reason}")]
    );
}

/// These values of a link's key are refused, each as what it is called.
fn refuses_amounts<const N: usize>(key: &str, form: &str, values: [(Value, &str); N]) {
    for (value, is) in values {
        refuses_of_link(key, value, &format!("must be {form}, is {is}"));
    }
}

/// Values that are no integers, with what they are called.
fn no_integers() -> [(Value, &'static str); 8] {
    [
        (json!(null), "null"),
        (json!(true), "a boolean"),
        (json!("500"), "a string"),
        (json!([500]), "an array"),
        (json!({"ms": 500}), "an object"),
        (json!(-1), "-1"),
        (json!(500.5), "500.5"),
        (json!(1e300), "1e+300"),
    ]
}

/// An integer in these bounds is taken, anything else refused; `with` puts a value at the key's place.
fn takes_integers(place: &str, least: u64, most: u64, with: impl Fn(Value) -> Value) {
    for number in [least, most] {
        assert_eq!(errors(&with(json!(number))), [""; 0]);
    }
    let mut wrong: Vec<(Value, String)> = no_integers()
        .into_iter()
        .map(|(value, name)| (value, name.to_owned()))
        .collect();
    wrong.extend([
        (json!(most + 1), format!("{}", most + 1)),
        (json!(u64::MAX), format!("{}", u64::MAX)),
    ]);
    if let Some(less) = least.checked_sub(1) {
        wrong.push((json!(less), format!("{less}")));
    }
    for (value, name) in wrong {
        let expected = format!("{place}: must be an integer from {least} to {most}, is {name}");
        assert_eq!(errors(&with(value)), [expected]);
    }
}

/// One of these names is taken, anything else refused.
fn takes_names(place: &str, names: &[&str], with: impl Fn(Value) -> Value) {
    for name in names {
        assert_eq!(errors(&with(json!(name))), [""; 0]);
    }
    let all = names.join(", ");
    for wrong in ["", "Active", "nonsense"] {
        let expected = format!("{place}: must be one of {all}, is {wrong:?}");
        assert_eq!(errors(&with(json!(wrong))), [expected]);
    }
    for (value, name) in no_strings() {
        let expected = format!("{place}: must be a string, is {name}");
        assert_eq!(errors(&with(value)), [expected]);
    }
}

fn no_strings() -> [(Value, &'static str); 5] {
    [
        (json!(null), "null"),
        (json!(false), "a boolean"),
        (json!(1), "a number"),
        (json!(["a"]), "an array"),
        (json!({}), "an object"),
    ]
}

/// True and false are taken, anything else refused.
fn takes_booleans(place: &str, with: impl Fn(Value) -> Value) {
    for value in [true, false] {
        assert_eq!(errors(&with(json!(value))), [""; 0]);
    }
    let wrong = [
        (json!(null), "null"),
        (json!(1), "a number"),
        (json!("true"), "a string"),
        (json!([]), "an array"),
    ];
    for (value, name) in wrong {
        let expected = format!("{place}: must be true or false, is {name}");
        assert_eq!(errors(&with(value)), [expected]);
    }
}
