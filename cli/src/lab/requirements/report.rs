//! What was found: a line for each row, peer and policy, or JSON.

use serde_json::{Value, json};

use super::Options;
use super::row::{Measurement, Peer, Row};
use crate::lab::policy::Policy;

/// What came of one job.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) row: Row,
    pub(super) peer: Peer,
    pub(super) policy: Policy,
    /// Or why there is no measurement.
    pub(super) result: Result<Measurement, String>,
}

impl Finding {
    /// It was measured, and what is required holds.
    pub(super) fn holds(&self) -> bool {
        self.result.as_ref().is_ok_and(|found| found.holds)
    }

    fn policy(&self) -> &'static str {
        match self.policy {
            Policy::None => "-",
            policy => policy.name(),
        }
    }

    fn requirement(&self) -> &'static str {
        self.row.requirement(self.peer).unwrap_or("-")
    }

    fn verdict(&self) -> &'static str {
        match &self.result {
            Ok(found) if found.holds => "yes",
            Ok(_) => "NO",
            Err(_) => "not measured",
        }
    }
}

/// Names of the columns.
pub(super) fn heading() -> &'static str {
    "row | peer | policy | quantity | requirement | measured | holds"
}

/// A finding below [`heading`].
pub(super) fn line(finding: &Finding) -> String {
    let measured = match &finding.result {
        Ok(found) => &found.text,
        Err(problem) => problem,
    };
    [
        format!("{:3}", finding.row.number),
        format!("{:12}", finding.peer.name()),
        format!("{:13}", finding.policy()),
        finding.row.quantity.to_owned(),
        finding.requirement().to_owned(),
        measured.clone(),
        finding.verdict().to_owned(),
    ]
    .join(" | ")
}

/// How many hold, and which do not.
pub(super) fn summary(findings: &[Finding]) -> String {
    let held = findings.iter().filter(|finding| finding.holds()).count();
    let mut text = format!("\n{held} of {} hold", findings.len());
    let others: Vec<String> = findings
        .iter()
        .filter(|finding| !finding.holds())
        .map(|finding| {
            let (row, peer) = (finding.row.number, finding.peer.name());
            format!("{row} ({peer}, {})", finding.policy())
        })
        .collect();
    if !others.is_empty() {
        text.push_str("; these do not: ");
        text.push_str(&others.join(", "));
    }
    text
}

/// Everything, for machines.
pub(super) fn to_json(findings: &[Finding], options: &Options) -> Value {
    let entry = |finding: &Finding| {
        let (values, text, problem) = match &finding.result {
            Ok(found) => (&found.values, Some(&found.text), None),
            Err(problem) => (&Value::Null, None, Some(problem)),
        };
        json!({
            "row": finding.row.number,
            "quantity": finding.row.quantity,
            "peer": finding.peer.name(),
            "policy": finding.policy.name(),
            "requirement": finding.requirement(),
            "measured": text,
            "values": values,
            "problem": problem,
            "holds": finding.holds(),
        })
    };
    json!({
        "trials": options.trials,
        "findings": findings.iter().map(entry).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::requirements::row::Load;

    fn finding(result: Result<Measurement, String>) -> Finding {
        Finding {
            row: Row {
                number: 1,
                quantity: "outage",
                ours: "<= 100 ms",
                towards_stock: None,
                policies: &[Policy::BalanceRr],
                load: Load::Light,
                measure: |_| Err(std::io::Error::other("not to be called")),
            },
            peer: Peer::Hawser,
            policy: Policy::BalanceRr,
            result,
        }
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let broken = finding(Err("no bond".into()));
        assert!(!broken.holds());
        assert!(line(&broken).ends_with("no bond | not measured"));
        let measured = finding(Ok(Measurement {
            values: Value::Null,
            text: "90 ms".into(),
            holds: true,
        }));
        assert!(line(&measured).ends_with("<= 100 ms | 90 ms | yes"));
        let text = summary(&[broken, measured]);
        assert_eq!(text, "\n1 of 2 hold; these do not: 1 (hawser, balance-rr)");
    }
}
