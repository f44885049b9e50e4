//! Bonds as 1.14.1 prints them, byte for byte (multipath specification E.1, E.2).

use std::fmt::Write;

use serde_json::Value;

use crate::json;

const RULE_LENGTH: usize = 120;

/// A row per bond, from the list of peers.
pub(super) fn table(peers: &[Value]) -> String {
    let mut out = String::from("    <peer>                        <bondtype>     <links>\n");
    let bonded: Vec<_> = peers
        .iter()
        .filter(|peer| json::flag(peer, "isBonded"))
        .collect();
    for peer in &bonded {
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:>10}  {:>32}         {}/{}",
            json::text(peer, "address"),
            json::text(peer, "bondingPolicyStr"),
            json::integer(peer, "numAliveLinks"),
            json::integer(peer, "numTotalLinks"),
        );
    }
    if bonded.is_empty() {
        out.push_str("      NONE\t\t\t\tNONE\t    NONE       NONE\n");
    }
    out
}

/// One bond.
pub(super) fn details(bond: &Value) -> String {
    let mut out = format!(
        "Peer                   : {}\n\
         Bond                   : {}\n\
         Link Select Method     : {}\n\
         Links                  : {}/{}\n\
         Failover Interval (ms) : {}\n\
         Up Delay (ms)          : {}\n\
         Down Delay (ms)        : {}\n\
         Packets Per Link       : {}\n\n",
        json::text(bond, "address"),
        json::text(bond, "bondingPolicyStr"),
        json::integer(bond, "linkSelectMethod"),
        json::integer(bond, "numAliveLinks"),
        json::integer(bond, "numTotalLinks"),
        json::integer(bond, "failoverInterval"),
        json::integer(bond, "upDelay"),
        json::integer(bond, "downDelay"),
        json::integer(bond, "packetsPerLink"),
    );
    let rule = "-".repeat(RULE_LENGTH);
    let paths = json::list(bond, "paths");
    let _ = writeln!(
        out,
        "idx                  interface                                  path               socket             local port\n{rule}"
    );
    for (index, path) in paths.iter().enumerate() {
        let _ = writeln!(
            out,
            "{index:>2}: {:>26} {:>51} {:016x} {:>12}",
            json::text(path, "ifname"),
            json::text(path, "address"),
            json::integer(path, "localSocket"),
            json::integer(path, "localPort"),
        );
    }
    let _ = writeln!(
        out,
        "\nidx     lat      pdv    capacity    qual      rx_age      tx_age  eligible  bonded   flows\n{rule}"
    );
    for (index, path) in paths.iter().enumerate() {
        let _ = writeln!(
            out,
            "{index:>2}: {:>8.2} {:>8.2} {:>10} {:>7.4} {:>11} {:>11} {:>9} {:>7} {:>7}",
            json::float(path, "latencyMean"),
            json::float(path, "latencyVariance"),
            json::integer(path, "givenLinkSpeed"),
            json::float(path, "relativeQuality"),
            json::integer(path, "lastInAge"),
            json::integer(path, "lastOutAge"),
            json::integer(path, "eligible"),
            json::integer(path, "bonded"),
            json::integer(path, "assignedFlowCount"),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The bond of service specification D.6.
    fn peer() -> Value {
        let path = |ifname, socket: u64, age, bonded| {
            json!({"address": "10.79.0.3/9993", "assignedFlowCount": 0, "bonded": bonded, "eligible": 1,
                "givenLinkSpeed": 0, "ifname": ifname, "lastInAge": age, "lastOutAge": age, "latencyMean": 0.0,
                "latencyVariance": 0.0, "localPort": 9993, "localSocket": socket, "relativeQuality": 0.0})
        };
        json!({"address": "caf20f3e73", "bondingPolicyCode": 1, "bondingPolicyStr": "active-backup", "downDelay": 0,
            "failoverInterval": 5000, "isBonded": true, "numAliveLinks": 4, "numTotalLinks": 4, "packetsPerLink": 64,
            "paths": [path("eth0", 0x5623_2170_9250, 20, 0), path("eth1", 0x5623_2170_7660, 1567, 1)], "upDelay": 0})
    }

    #[test]
    fn a_row_per_bond() {
        assert_eq!(
            table(&[peer(), json!({"address": "62f865ae71", "isBonded": false})]),
            "    <peer>                        <bondtype>     <links>\n\
             caf20f3e73                     active-backup         4/4\n"
        );
        assert_eq!(
            table(&[]),
            "    <peer>                        <bondtype>     <links>\n      NONE\t\t\t\tNONE\t    NONE       NONE\n"
        );
    }

    #[test]
    fn details_of_a_bond() {
        let rule = "-".repeat(120);
        let expected = format!(
            "Peer                   : caf20f3e73
Bond                   : active-backup
Link Select Method     : 0
Links                  : 4/4
Failover Interval (ms) : 5000
Up Delay (ms)          : 0
Down Delay (ms)        : 0
Packets Per Link       : 64

idx                  interface                                  path               socket             local port
{rule}
 0:                       eth0                                      10.79.0.3/9993 0000562321709250         9993
 1:                       eth1                                      10.79.0.3/9993 0000562321707660         9993

idx     lat      pdv    capacity    qual      rx_age      tx_age  eligible  bonded   flows
{rule}
 0:     0.00     0.00          0  0.0000          20          20         1       0       0
 1:     0.00     0.00          0  0.0000        1567        1567         1       1       0
"
        );
        assert_eq!(details(&peer()), expected);
    }
}
