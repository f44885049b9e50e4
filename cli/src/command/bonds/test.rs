//! `bond test`: a dry failover. Nothing is switched; the service tells what would be.

use std::fmt::Write;

use serde_json::Value;

use super::no_bond;
use crate::client::Request;
use crate::command::{Answer, body};
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;

/// `bond <peer> test`, `bond test <peer>`
pub(super) fn one(session: &Session<'_>, peer: &str) -> Answer {
    let reply = session.send(Request::Get, &format!("/bond/{peer}/test"))?;
    let answer: Value = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
    match (reply.status, answer["error"].as_str()) {
        (200, _) if session.options.json => Ok(body(session, &reply.body)),
        (200, _) => Ok(told(std::slice::from_ref(&answer))),
        (_, Some(reason)) if session.is_hawser() => Err(session.failure(reason)),
        (_, Some(reason)) => {
            let text = format!("{} bond {reason}\n", reply.status);
            Err(Outcome::to_stdout(1, text))
        }
        _ if session.is_hawser() => Err(match reply.status {
            400 => no_bond(session, peer),
            _ => session.refused(&reply),
        }),
        _ => {
            let text = format!("{} bond {}\n", reply.status, reply.body);
            Err(Outcome::to_stdout(1, text))
        }
    }
}

/// `bond test`: all bonds
pub(super) fn all(session: &Session<'_>) -> Answer {
    let answer = session.read("/bond/test")?;
    if session.options.json {
        return Ok(Outcome::ok(json::pretty(&answer)));
    }
    let bonds = json::list(&answer, "bonds");
    if bonds.is_empty() {
        return Ok(Outcome::ok("There are no bonds.\n"));
    }
    Ok(told(bonds))
}

/// A line per path that carries traffic. Exit code 1 if a single failure would end a bond.
fn told(bonds: &[Value]) -> Outcome {
    let (mut out, mut code) = (String::new(), 0);
    for bond in bonds {
        let peer = json::text(bond, "peer");
        let failures = json::list(bond, "failures");
        if failures.is_empty() {
            code = 1;
            // Writing to a string does not fail.
            let _ = writeln!(out, "{peer}: no path of the bond carries traffic");
        }
        for failure in failures {
            let next = json::list(failure, "next");
            code = code.max(i32::from(next.is_empty()));
            let next = match next {
                [] => "nothing takes over".to_owned(),
                next => {
                    let next: Vec<String> = next.iter().map(heir).collect();
                    format!("traffic goes to {}", next.join(", "))
                }
            };
            let failing = json::text(failure, "path");
            let _ = writeln!(out, "{peer}: if {failing} fails, {next}");
        }
    }
    Outcome::to_stdout(code, out)
}

/// `wan2/10.0.0.2/9993 (up, proven 120 ms ago)`
fn heir(path: &Value) -> String {
    let proof = match path["proofAge"].as_u64() {
        Some(age) => format!("proven {age} ms ago"),
        None => "never proven".to_owned(),
    };
    format!(
        "{} ({}, {proof})",
        json::text(path, "path"),
        json::text(path, "condition")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bond_without_a_second_path_is_a_failure() {
        let bond = |next: Value| json!({"peer": "4ac8a21e06", "failures": [{"path": "wan1/10.0.0.2/9993", "next": next}]});
        let safe = bond(json!([
            {"path": "wan2/10.0.1.2/9993", "condition": "up", "proofAge": 120},
            {"path": "wan3/10.0.2.2/9993", "condition": "trial", "proofAge": null}]));
        assert_eq!(
            told(std::slice::from_ref(&safe)),
            Outcome::ok(
                "4ac8a21e06: if wan1/10.0.0.2/9993 fails, traffic goes to wan2/10.0.1.2/9993 (up, proven 120 ms ago), \
                 wan3/10.0.2.2/9993 (trial, never proven)\n"
            )
        );
        let single = told(&[safe, bond(json!([]))]);
        assert_eq!(single.code, 1);
        assert!(single.stdout.ends_with("fails, nothing takes over\n"));
        assert_eq!(
            told(&[json!({"peer": "4ac8a21e06", "failures": []})]).code,
            1
        );
    }
}
