//! All columns beside each other, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::column::{Column, Plan, Run};
use super::failover::{PATIENCE, Trial};
use crate::lab::delivery::Delivery;
use crate::lab::policy::Policy;

/// Width of the first column and of the others.
const LABEL: usize = 36;
const WIDTH: usize = 15;

/// All findings.
pub(super) struct Table {
    pub(super) plan: Plan,
    /// Mbit/s of each link; 0 if not limited.
    pub(super) rate: u32,
    /// TCP's congestion control on this machine.
    pub(super) congestion_control: String,
    /// Mbit/s of plain TCP on each link, without any overlay.
    pub(super) links: Vec<f64>,
    pub(super) columns: Vec<Column>,
}

impl Table {
    /// True if nothing is missing, and all daemons of the software named `ours` ended in order.
    pub(super) fn is_complete(&self, ours: &str) -> bool {
        self.columns.iter().all(|column| {
            column.problem.is_none() && (column.software != ours || column.complaints.is_empty())
        })
    }

    /// The sum of links, Mbit/s: of plain TCP.
    fn sum_of_links(&self) -> f64 {
        self.links.iter().sum()
    }

    /// What one connection of this software gets from one link, times the links: Mbit/s. Known if `none` was measured.
    fn sum_of_single_links(&self, software: &str) -> Option<f64> {
        let none = self
            .columns
            .iter()
            .find(|column| column.software == software && column.policy == Policy::None)?;
        let run = none.runs.first()?;
        Some(run.throughput.megabits_per_second() * f64::from(self.plan.links))
    }

    fn software(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for column in &self.columns {
            if !names.contains(&column.software.as_str()) {
                names.push(&column.software);
            }
        }
        names
    }

    fn policies(&self) -> impl Iterator<Item = Policy> {
        let measured = |policy: &Policy| self.columns.iter().any(|c| c.policy == *policy);
        Policy::ALL.into_iter().filter(measured)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "links": self.plan.links,
            "linkMegabitsPerSecond": self.rate,
            "failoverIntervalMs": self.plan.settings.failover_interval,
            "capacitiesDeclared": self.plan.settings.declared.is_some(),
            "congestionControl": self.congestion_control,
            "plainTcpByLinkMegabitsPerSecond": self.links,
            "sumOfLinksMegabitsPerSecond": self.sum_of_links(),
            "columns": self.columns.iter().map(|column| self.column_to_json(column)).collect::<Vec<_>>(),
        })
    }

    fn column_to_json(&self, column: &Column) -> Value {
        let single = self.sum_of_single_links(&column.software);
        json!({
            "software": column.software,
            "policy": column.policy.name(),
            "problem": column.problem,
            "complaints": column.complaints,
            "aliveLinks": column.bonded.map(|(alive, _)| alive),
            "totalLinks": column.bonded.map(|(_, total)| total),
            "throughput": column.runs.iter().map(|run| {
                let goodput = run.throughput.megabits_per_second();
                json!({
                    "connections": run.connections,
                    "megabitsPerSecond": goodput,
                    "shareOfSumOfLinks": share(goodput, self.sum_of_links()),
                    "shareOfSumOfSingleLinkGoodputs": single.and_then(|single| share(goodput, single)),
                    "retransmissions": run.throughput.retransmissions,
                    "longestStallMs": milliseconds(run.throughput.longest_stall),
                    "bytesByLink": run.bytes_by_link,
                    "bytesSentByRoot": run.relayed_bytes,
                    "cpuSecondsPerGigabyte": run.cpu_seconds_per_gigabyte,
                })
            }).collect::<Vec<_>>(),
            "worstGapMs": worst(&column.trials, Trial::gap).map(milliseconds),
            "failovers": column.trials.iter().map(|trial| json!({
                "failedLink": trial.link,
                "gapMs": milliseconds(trial.gap()),
                "directions": trial.directions.map(delivery_to_json),
            })).collect::<Vec<_>>(),
        })
    }

    /// One line of the table: a cell per policy.
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        label: &str,
        software: &str,
        cell: impl Fn(&Column) -> Option<String>,
    ) -> fmt::Result {
        write!(f, "{label:<LABEL$}")?;
        for policy in self.policies() {
            let column = self
                .columns
                .iter()
                .find(|column| column.software == software && column.policy == policy);
            let text = column.and_then(&cell).unwrap_or_else(|| "-".into());
            write!(f, "{text:>WIDTH$}")?;
        }
        writeln!(f)
    }

    /// One heading, and below it one line for each software; a single one shares the heading's line.
    fn section(
        &self,
        f: &mut fmt::Formatter<'_>,
        heading: &str,
        cell: impl Fn(&Column) -> Option<String>,
    ) -> fmt::Result {
        let software = self.software();
        if let [only] = software[..] {
            return self.line(f, heading, only, cell);
        }
        writeln!(f, "{heading}")?;
        for software in software {
            self.line(f, &format!("    {software}"), software, &cell)?;
        }
        Ok(())
    }

    fn throughput_sections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for connections in self.plan.connections.iter().copied() {
            let run = move |column: &Column| -> Option<Run> {
                let found = |run: &&Run| run.connections == connections;
                column.runs.iter().find(found).cloned()
            };
            self.section(
                f,
                &format!("TCP, {connections} connection(s), Mbit/s"),
                |c| Some(format!("{:.1}", run(c)?.throughput.megabits_per_second())),
            )?;
            self.section(f, "  of the sum of links", |c| {
                let goodput = run(c)?.throughput.megabits_per_second();
                let sum = self.sum_of_single_links(&c.software);
                let share = share(goodput, sum.unwrap_or(self.sum_of_links()))?;
                Some(format!("{:.0} %", share * 100.0))
            })?;
            self.section(f, "  segments sent again", |c| {
                Some(run(c)?.throughput.retransmissions?.to_string())
            })?;
            self.section(f, "  sent by each link, %", |c| {
                Some(percentages(&run(c)?.bytes_by_link))
            })?;
            self.section(f, "  relayed by the root", |c| {
                let run = run(c)?;
                let sent = run.bytes_by_link.iter().sum::<u64>() as f64;
                // Both directions pass a relay, one of them is the reference: more than all is all.
                let relayed = share(run.relayed_bytes as f64, sent)?.min(1.0);
                Some(format!("{:.0} %", relayed * 100.0))
            })?;
            self.section(f, "  CPU s/GB of both members", |c| {
                Some(format!("{:.1}", run(c)?.cpu_seconds_per_gigabyte?))
            })?;
        }
        Ok(())
    }

    fn failover_sections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trials = self.plan.trials;
        self.section(f, &format!("failover gap, ms (worst of {trials})"), |c| {
            worst(&c.trials, Trial::gap).map(in_milliseconds)
        })?;
        self.section(f, "  losses went on for, ms", |c| {
            worst(&c.trials, |t| t.largest(|d| d.losses_lasted)).map(in_milliseconds)
        })?;
        self.section(f, "  lost datagrams", |c| {
            worst(&c.trials, |t| t.sum(|d| d.lost)).map(|n| n.to_string())
        })?;
        self.section(f, "  duplicated", |c| {
            worst(&c.trials, |t| t.sum(|d| d.duplicated)).map(|n| n.to_string())
        })?;
        self.section(f, "  reordered (largest extent)", |c| {
            let count = worst(&c.trials, |t| t.sum(|d| d.reordered))?;
            let extent = worst(&c.trials, |t| t.largest(|d| d.reorder_extent))?;
            Some(format!("{count} ({extent})"))
        })?;
        self.section(f, "  the sender itself paused, ms", |c| {
            worst(&c.trials, |t| t.largest(|d| d.longest_pause)).map(in_milliseconds)
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = match self.rate {
            0 => "not limited".to_owned(),
            rate => format!("{rate} Mbit/s each"),
        };
        writeln!(
            f,
            "{} links, {rate}; plain TCP on each alone, without an overlay: {} = {:.1} Mbit/s",
            self.plan.links,
            self.links
                .iter()
                .map(|link| format!("{link:.1}"))
                .collect::<Vec<_>>()
                .join(" + "),
            self.sum_of_links()
        )?;
        for software in self.software() {
            if let Some(sum) = self.sum_of_single_links(software) {
                writeln!(
                    f,
                    "the sum of links for {software}: {} times what policy none gets from one, {sum:.1} Mbit/s",
                    self.plan.links
                )?;
            }
        }
        writeln!(
            f,
            "TCP congestion control {}; failover interval {} ms; capacities {}\n",
            self.congestion_control,
            self.plan.settings.failover_interval,
            if self.plan.settings.declared.is_some() {
                "declared"
            } else {
                "not declared"
            }
        )?;
        write!(f, "{:<LABEL$}", "")?;
        for policy in self.policies() {
            write!(f, "{policy:>WIDTH$}")?;
        }
        writeln!(f)?;
        self.throughput_sections(f)?;
        if self.plan.trials > 0 {
            self.failover_sections(f)?;
        }
        self.section(f, "links in the bond", |c| {
            c.bonded.map(|(alive, total)| format!("{alive}/{total}"))
        })?;
        for column in &self.columns {
            for remark in column.problem.iter().chain(&column.complaints) {
                writeln!(f, "{} {}: {remark}", column.software, column.policy)?;
            }
        }
        Ok(())
    }
}

/// `part` of `whole`, 0 to 1; nothing if there is no whole.
fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// The largest of a value over all trials.
fn worst<T: Ord>(trials: &[Trial], value: impl Fn(&Trial) -> T) -> Option<T> {
    trials.iter().map(value).max()
}

/// Whole percentages of the sum, as `50/50`.
fn percentages(parts: &[u64]) -> String {
    let sum: u64 = parts.iter().sum();
    let percentage = |part: &u64| format!("{:.0}", *part as f64 * 100.0 / sum.max(1) as f64);
    parts.iter().map(percentage).collect::<Vec<_>>().join("/")
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// As a cell. What lasted as long as the stream did may last for ever.
fn in_milliseconds(duration: Duration) -> String {
    if duration >= PATIENCE {
        format!("> {:.0}", milliseconds(PATIENCE))
    } else {
        format!("{:.0}", milliseconds(duration))
    }
}

fn delivery_to_json(delivery: Delivery) -> Value {
    json!({
        "sent": delivery.sent,
        "lost": delivery.lost,
        "duplicated": delivery.duplicated,
        "reordered": delivery.reordered,
        "reorderExtent": delivery.reorder_extent,
        "longestGapMs": milliseconds(delivery.longest_gap),
        "lossesLastedMs": milliseconds(delivery.losses_lasted),
        "longestSenderPauseMs": milliseconds(delivery.longest_pause),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::policy::BondSettings;
    use crate::lab::traffic::Throughput;

    fn column(policy: Policy, megabits: &[(u32, u64)], gaps: &[u64]) -> Column {
        let run = |(connections, megabits): &(u32, u64)| Run {
            connections: *connections,
            throughput: Throughput {
                bytes: megabits * 125_000,
                duration: Duration::from_secs(1),
                longest_stall: Duration::ZERO,
                retransmissions: Some(17),
            },
            bytes_by_link: vec![megabits * 125_000, 0],
            relayed_bytes: 0,
            cpu_seconds_per_gigabyte: None,
        };
        let trial = |gap: &u64| Trial {
            link: 0,
            directions: [
                Delivery::default(),
                Delivery {
                    longest_gap: Duration::from_millis(*gap),
                    ..Delivery::default()
                },
            ],
        };
        Column {
            software: "hawser".into(),
            policy,
            bonded: Some((2, 2)),
            runs: megabits.iter().map(run).collect(),
            trials: gaps.iter().map(trial).collect(),
            problem: None,
            complaints: Vec::new(),
        }
    }

    fn table(columns: Vec<Column>) -> Table {
        let plan = Plan {
            links: 2,
            settings: BondSettings {
                failover_interval: 500,
                declared: None,
            },
            connections: vec![1, 4],
            seconds: 1,
            trials: 2,
            settle: Duration::ZERO,
        };
        Table {
            plan,
            rate: 100,
            congestion_control: "cubic".into(),
            links: vec![95.0, 95.0],
            columns,
        }
    }

    #[test]
    fn shares_are_of_single_links_where_policy_none_was_measured() {
        let none = column(Policy::None, &[(1, 90), (4, 90)], &[]);
        let xor = column(Policy::BalanceXor, &[(1, 90), (4, 171)], &[400, 600]);
        let both = table(vec![none, xor]).to_json();
        let run = &both["columns"][1]["throughput"][1];
        assert_eq!(run["shareOfSumOfLinks"], json!(0.9));
        assert_eq!(run["shareOfSumOfSingleLinkGoodputs"], json!(0.95));
        assert_eq!(both["columns"][1]["worstGapMs"], json!(600.0));
        assert_eq!(both["columns"][0]["worstGapMs"], Value::Null);
        let alone = table(vec![column(Policy::BalanceXor, &[(1, 90)], &[])]);
        let run = &alone.to_json()["columns"][0]["throughput"][0];
        assert_eq!(run["shareOfSumOfSingleLinkGoodputs"], Value::Null);
    }

    #[test]
    fn every_policy_is_a_column_and_missing_cells_are_dashes() {
        let mut broken = column(Policy::BalanceRr, &[(1, 120)], &[]);
        broken.problem = Some("it stopped".into());
        let table = table(vec![
            column(Policy::None, &[(1, 90), (4, 91)], &[9]),
            broken,
        ]);
        assert!(!table.is_complete("hawser"));
        let text = table.to_string();
        let cells = |heading: &str| -> Vec<&str> {
            let line = text.lines().find_map(|line| line.strip_prefix(heading));
            line.expect("a line").split_ascii_whitespace().collect()
        };
        assert_eq!(cells("TCP, 1 connection(s), Mbit/s"), ["90.0", "120.0"]);
        assert_eq!(cells("TCP, 4 connection(s), Mbit/s"), ["91.0", "-"]);
        assert_eq!(cells("failover gap, ms (worst of 2)"), ["9", "-"]);
        assert!(text.ends_with("hawser balance-rr: it stopped\n"));
    }

    #[test]
    fn all_software_stands_below_each_other() {
        let mut other = column(Policy::None, &[(1, 80)], &[]);
        other.software = "other".into();
        let text = table(vec![column(Policy::None, &[(1, 90)], &[]), other]).to_string();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .skip_while(|line| *line != "TCP, 1 connection(s), Mbit/s")
            .map(|line| line.split_ascii_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["hawser", "90.0"]);
        assert_eq!(lines[2], ["other", "80.0"]);
    }

    #[test]
    fn percentages_are_of_the_sum() {
        assert_eq!(percentages(&[1, 1, 2]), "25/25/50");
        assert_eq!(percentages(&[0, 0]), "0/0");
    }

    #[test]
    fn a_gap_without_end_is_shown_as_such() {
        assert_eq!(in_milliseconds(Duration::from_micros(470_600)), "471");
        assert_eq!(in_milliseconds(PATIENCE), "> 40000");
    }
}
