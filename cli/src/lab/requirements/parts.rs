//! Rows that hold only if they hold in several cases.

use serde_json::{Value, json};

use super::row::Measurement;

/// What was found in one case.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The links and the traffic.
    pub(super) case: String,
    /// All numbers, for machines.
    pub(super) values: Value,
    /// The ones that matter, with units.
    pub(super) measured: String,
    /// The requirement holds here.
    pub(super) holds: bool,
}

/// The row, whose every case counts.
pub(super) fn all_of(parts: &[Part]) -> Measurement {
    let text: Vec<String> = parts
        .iter()
        .map(|part| {
            let failed = if part.holds { "" } else { " (FAILS)" };
            format!("{}: {}{failed}", part.case, part.measured)
        })
        .collect();
    let values: Vec<Value> = parts
        .iter()
        .map(|part| json!({"case": part.case, "holds": part.holds, "values": part.values}))
        .collect();
    Measurement {
        values: Value::Array(values),
        text: text.join("; "),
        holds: !parts.is_empty() && parts.iter().all(|part| part.holds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_case_that_fails_is_enough_and_none_is_no_proof() {
        let part = |holds| Part {
            case: "2 links".to_owned(),
            values: Value::Null,
            measured: "0.9".to_owned(),
            holds,
        };
        assert!(all_of(&[part(true), part(true)]).holds);
        let mixed = all_of(&[part(true), part(false)]);
        assert!(!mixed.holds);
        assert_eq!(mixed.text, "2 links: 0.9; 2 links: 0.9 (FAILS)");
        assert!(!all_of(&[]).holds);
    }
}
