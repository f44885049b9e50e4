//! Bonds as hawser prints them: three blocks, as in the manual, with more columns (multipath specification E.2).

use std::fmt::Write;

use serde_json::Value;

use crate::json;

/// A row per bond, from the list of peers.
pub(super) fn table(peers: &[Value]) -> String {
    let mut out =
        String::from("    <peer>                        <bondtype>  <status>   <links>\n");
    let bonded: Vec<_> = peers
        .iter()
        .filter(|peer| json::flag(peer, "isBonded"))
        .collect();
    for peer in &bonded {
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:>10}  {:>32}  {:<9}  {}/{}",
            json::text(peer, "address"),
            json::text(peer, "bondingPolicyStr"),
            or_dash(json::text(peer, "status")),
            json::integer(peer, "numAliveLinks"),
            json::integer(peer, "numTotalLinks"),
        );
    }
    if bonded.is_empty() {
        out.push_str("There are no bonds.\n");
    }
    out
}

/// What is wrong with the settings, and which links are missing.
pub(super) fn problems(bonding: &Value) -> String {
    let mut out = String::new();
    for problem in json::list(bonding, "problems") {
        let word = |key| json::text(problem, key);
        let place = match word("path") {
            "local.conf" => String::new(),
            path => format!("{path}: "),
        };
        let (severity, reason) = (word("severity"), word("reason"));
        let _ = writeln!(out, "local.conf: {severity}: {place}{reason}");
    }
    for link in json::list(bonding, "missingLinks") {
        let _ = writeln!(
            out,
            "Link {} is not there yet.",
            link.as_str().unwrap_or("")
        );
    }
    out
}

/// Peers without a bond and why; nothing about roots, which never have one.
pub(super) fn unbonded(bonding: &Value) -> String {
    if bonding["inUse"] == false {
        return "Bonding is off: local.conf names no policy (defaultBondingPolicy, peerSpecificBonds).\n"
            .to_owned();
    }
    let mut out = String::new();
    let leaves = json::list(bonding, "unbonded")
        .iter()
        .filter(|peer| json::text(peer, "role") == "LEAF");
    for peer in leaves {
        let _ = writeln!(
            out,
            "{} has no bond: {}.",
            json::text(peer, "peer"),
            json::text(peer, "reason"),
        );
    }
    out
}

/// One bond.
pub(super) fn bond(bond: &Value) -> String {
    let base = json::text(bond, "bondingPolicyStr");
    let only = |policy: &str, value: String| {
        if base == policy {
            value
        } else {
            "N/A".to_owned()
        }
    };
    let policy = match json::text(bond, "policyName") {
        "" => base,
        name => name,
    };
    let mut out = columns(&[
        cells(&["PEER", "BOND TYPE", "POLICY NAME", "STATUS", "LINKS"]),
        vec![
            json::text(bond, "address").to_owned(),
            base.to_owned(),
            policy.to_owned(),
            or_dash(json::text(bond, "status")).to_owned(),
            format!(
                "{}/{}",
                json::integer(bond, "numAliveLinks"),
                json::integer(bond, "numTotalLinks")
            ),
        ],
    ]);
    out.push_str("BOND PARAMETERS\n");
    out.push_str(&columns(&[
        cells(&[
            "Failover Interval",
            "Up Delay",
            "Down Delay",
            "Packets Per Link",
            "Link Selection Method",
        ]),
        vec![
            json::integer(bond, "failoverInterval").to_string(),
            json::integer(bond, "upDelay").to_string(),
            json::integer(bond, "downDelay").to_string(),
            only(
                "balance-rr",
                json::integer(bond, "packetsPerLink").to_string(),
            ),
            only(
                "active-backup",
                or_dash(json::text(bond, "linkSelectMethodStr")).to_owned(),
            ),
        ],
    ]));
    out.push_str("LINK QUALITY\n");
    let mut rows = vec![cells(&[
        "  IFACE", "PATH", "MODE", "STATUS", "LAT", "LTM", "PDV", "PLR", "PER", "AVL", "SPD",
        "ALLOC", "FLOWS", "TX/s", "RX/s", "AGE", "NOTE",
    ])];
    rows.extend(json::list(bond, "paths").iter().map(path));
    out.push_str(&columns(&rows));
    out
}

fn path(path: &Value) -> Vec<String> {
    let number = |key: &str, digits: usize| match path[key].as_f64() {
        Some(number) => format!("{number:.digits$}"),
        None => "-".to_owned(),
    };
    let rate = |key: &str| match path[key].as_u64() {
        Some(bytes) => si(bytes.saturating_mul(8)),
        None => "-".to_owned(),
    };
    let mark = if json::flag(path, "isActive") {
        '*'
    } else {
        ' '
    };
    let alive = json::flag(path, "active") && !json::flag(path, "expired");
    // A speed that the operator only declared in relation to others has no unit.
    let speed = match (path["capacity"].as_u64(), path["givenLinkSpeed"].as_u64()) {
        (Some(speed), _) | (None, Some(speed @ 1..)) => si(speed),
        _ => "-".to_owned(),
    };
    let punishment = json::integer(path, "punishmentMs");
    let note = match json::text(path, "condition") {
        _ if punishment > 0 => format!("punished {}s", (punishment + 999) / 1000),
        "up" => String::new(),
        condition => condition.to_owned(),
    };
    vec![
        format!("{mark} {}", or_dash(json::text(path, "ifname"))),
        json::text(path, "address").to_owned(),
        or_dash(json::text(path, "linkMode")).to_owned(),
        if alive { "Alive" } else { "Dead" }.to_owned(),
        number("latencyMean", 1),
        number("latencyMax", 1),
        number("latencyVariance", 1),
        number("packetLossRatio", 3),
        number("packetErrorRatio", 3),
        number("availability", 3),
        speed,
        number("allocation", 2),
        json::integer(path, "assignedFlowCount").to_string(),
        rate("rateSent"),
        rate("rateReceived"),
        age(json::integer(path, "lastInAge")),
        note,
    ]
}

fn cells(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// Rows with columns as wide as they need to be.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// `93.4M`, `800`: decimal prefixes.
fn si(number: u64) -> String {
    const PREFIXES: [(u64, char); 4] = [
        (1_000_000_000_000, 'T'),
        (1_000_000_000, 'G'),
        (1_000_000, 'M'),
        (1_000, 'k'),
    ];
    match PREFIXES.into_iter().find(|(size, _)| number >= *size) {
        Some((size, prefix)) => format!("{:.1}{prefix}", number as f64 / size as f64),
        None => number.to_string(),
    }
}

/// Since the peer was heard, from milliseconds; an age of half a century means never.
fn age(millis: i64) -> String {
    const NEVER: i64 = 1_000_000_000_000;
    match millis {
        NEVER.. => "never".to_owned(),
        10_000.. => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn office() -> Value {
        json!({"address": "4ac8a21e06", "isBonded": true, "bondingPolicyStr": "balance-xor", "policyName": "office",
            "status": "Degraded", "numAliveLinks": 1, "numTotalLinks": 2, "failoverInterval": 500, "upDelay": 40000,
            "downDelay": 0, "packetsPerLink": 8, "linkSelectMethodStr": "optimize", "paths": [
            {"ifname": "wan1", "address": "1.2.3.4/40000", "linkMode": "primary", "active": true, "expired": false,
             "isActive": true, "latencyMean": 3.12, "latencyMax": 9.0, "latencyVariance": 0.4, "packetLossRatio": 0.001,
             "packetErrorRatio": 0.0, "availability": 0.999, "capacity": 93_400_000, "allocation": 0.47,
             "assignedFlowCount": 112, "rateSent": 5_150_000, "rateReceived": 162_500, "lastInAge": 20,
             "condition": "up", "punishmentMs": 0},
            {"ifname": "wan2", "address": "5.6.7.8/9993", "linkMode": "spare", "active": false, "expired": true,
             "isActive": false, "latencyMean": 0.0, "latencyMax": 0.0, "latencyVariance": 0.0, "packetLossRatio": 0.0,
             "packetErrorRatio": 0.0, "availability": 0.5, "capacity": null, "allocation": 0.0,
             "assignedFlowCount": 0, "rateSent": 0, "rateReceived": 0, "lastInAge": 27_807,
             "condition": "down", "punishmentMs": 11_001}]})
    }

    #[test]
    fn a_bond_in_three_blocks() {
        assert_eq!(
            bond(&office()),
            "\
PEER        BOND TYPE    POLICY NAME  STATUS    LINKS
4ac8a21e06  balance-xor  office       Degraded  1/2
BOND PARAMETERS
Failover Interval  Up Delay  Down Delay  Packets Per Link  Link Selection Method
500                40000     0           N/A               N/A
LINK QUALITY
  IFACE  PATH           MODE     STATUS  LAT  LTM  PDV  PLR    PER    AVL    SPD    ALLOC  FLOWS  TX/s   RX/s  AGE   NOTE
* wan1   1.2.3.4/40000  primary  Alive   3.1  9.0  0.4  0.001  0.000  0.999  93.4M  0.47   112    41.2M  1.3M  20ms
  wan2   5.6.7.8/9993   spare    Dead    0.0  0.0  0.0  0.000  0.000  0.500  -      0.00   0      0      0     27s   punished 12s
"
        );
    }

    #[test]
    fn parameters_that_matter_to_the_policy_alone() {
        let mut backup = office();
        backup["bondingPolicyStr"] = json!("active-backup");
        assert!(bond(&backup).contains("0           N/A               optimize\n"));
        backup["bondingPolicyStr"] = json!("balance-rr");
        assert!(bond(&backup).contains("0           8                 N/A\n"));
    }

    #[test]
    fn a_row_per_bond() {
        assert_eq!(
            table(&[
                office(),
                json!({"address": "62f865ae71", "isBonded": false})
            ]),
            "    <peer>                        <bondtype>  <status>   <links>\n\
             4ac8a21e06                       balance-xor  Degraded   1/2\n"
        );
        assert!(table(&[]).ends_with("There are no bonds.\n"));
    }

    #[test]
    fn problems_are_named_with_their_place() {
        let bonding = json!({"problems": [{"path": "settings.policies.x", "reason": "no base", "severity": "error"}],
            "missingLinks": ["wan9"]});
        assert_eq!(
            problems(&bonding),
            "local.conf: error: settings.policies.x: no base\nLink wan9 is not there yet.\n"
        );
    }

    #[test]
    fn peers_without_bond_are_named_with_the_reason() {
        let bonding = json!({"inUse": true, "unbonded": [
            {"peer": "62f865ae71", "reason": "a root", "role": "PLANET"},
            {"peer": "4ac8a21e06", "reason": "its policy is none", "role": "LEAF"}]});
        assert_eq!(
            unbonded(&bonding),
            "4ac8a21e06 has no bond: its policy is none.\n"
        );
        assert!(unbonded(&json!({"inUse": false})).starts_with("Bonding is off"));
        assert_eq!(unbonded(&json!({})), "");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            (si(999), si(1_250_000_000)),
            ("999".to_owned(), "1.2G".to_owned())
        );
        assert_eq!(age(1_795_197_180_675), "never");
    }
}
