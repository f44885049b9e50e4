//! `links` of a policy.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reader::{Reader, complain, kind};
use super::{ConfigProblem, IpPreference, LinkMode, LinkSettings, Severity, Speed};
use crate::link_name;

const KEYS: [&str; 14] = [
    "mode",
    "failoverTo",
    "enabled",
    "ipvPref",
    "speed",
    "capacity",
    "alloc",
    "mtu",
    "failoverInterval",
    "upDelay",
    "downDelay",
    "cost",
    "dataCap",
    "maxRate",
];
/// Features of others that there are not.
const UNSUPPORTED: [&str; 2] = ["duplicate", "fec"];
/// Most links of a policy.
const MAX_LINKS: usize = 256;

/// Reads `links`: an object of links by name, or an array of names.
pub(super) fn parse_links(
    value: &Value,
    path: &str,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<LinkSettings> {
    let mut links = Vec::new();
    match value {
        Value::Array(names) => {
            for (index, name) in names.iter().enumerate() {
                let place = format!("{path}[{index}]");
                match name.as_str() {
                    Some("") => complain(problems, &place, Severity::Error, "a link needs a name"),
                    Some(name) if links.iter().any(|link: &LinkSettings| link.name == name) => {
                        let reason = format!("{name} is there already");
                        complain(problems, &place, Severity::Error, reason);
                    }
                    Some(name) => links.push(LinkSettings::new(name)),
                    None => {
                        let reason = format!("must be the name of a link, is {}", kind(name));
                        complain(problems, &place, Severity::Error, reason);
                    }
                }
            }
        }
        Value::Object(object) => {
            for (name, value) in object {
                let place = format!("{path}.{name}");
                if name.is_empty() {
                    complain(problems, &place, Severity::Error, "a link needs a name");
                    continue;
                }
                if let Some(mut reader) = Reader::new(value, &place, problems) {
                    links.push(parse_link(name, &mut reader));
                }
            }
            allocate(object, &mut links, path, problems);
        }
        other => {
            let reason = format!(
                "must be an object of links or an array of names, is {}",
                kind(other)
            );
            complain(problems, path, Severity::Error, reason);
        }
    }
    if links.len() > MAX_LINKS {
        let reason = format!(
            "names {} links, at most {MAX_LINKS} are allowed",
            links.len()
        );
        complain(problems, path, Severity::Error, reason);
        links.truncate(MAX_LINKS);
    }
    check_failover(&mut links, path, problems);
    let speeds = || links.iter().filter_map(|link| link.speed_up);
    if speeds().any(|speed| matches!(speed, Speed::Relative(_)))
        && speeds().any(|speed| matches!(speed, Speed::BitsPerSecond(_)))
    {
        let reason =
            "speeds with and without a unit cannot be compared: those with one are ignored";
        complain(problems, path, Severity::Warning, reason);
    }
    links
}

fn parse_link(name: &str, reader: &mut Reader<'_>) -> LinkSettings {
    let mut link = LinkSettings::new(name);
    let modes = [
        LinkMode::Primary,
        LinkMode::Secondary,
        LinkMode::Spare,
        LinkMode::Never,
    ];
    if let Some(mode) = reader.choice("mode", &modes.map(|mode| (mode.name(), mode))) {
        link.mode = mode;
    }
    link.failover_to = reader.text("failoverTo").map(str::to_owned);
    if link.failover_to.as_deref() == Some("") {
        link.failover_to = None;
    }
    link.enabled = reader.boolean("enabled").unwrap_or(true);
    match reader.get("ipvPref").map(Value::as_u64) {
        None | Some(Some(0)) => {}
        Some(Some(4)) => link.ip_preference = IpPreference::OnlyV4,
        Some(Some(6)) => link.ip_preference = IpPreference::OnlyV6,
        Some(Some(46)) => link.ip_preference = IpPreference::V4First,
        Some(Some(64)) => link.ip_preference = IpPreference::V6First,
        Some(_) => reader.error("ipvPref", "must be 0, 4, 6, 46 or 64"),
    }
    if let Some(key) = reader.spelling(&["speed", "capacity"]) {
        (link.speed_up, link.speed_down) = speeds(reader, key);
    }
    if reader.get("mtu").and_then(Value::as_u64) != Some(0) {
        link.mtu = reader
            .integer("mtu", 576, 65_507)
            .and_then(|mtu| u16::try_from(mtu).ok());
    }
    link.failover_interval = reader.millis("failoverInterval", 50, 65_535);
    link.up_delay = reader.millis("upDelay", 0, 600_000);
    link.down_delay = reader.millis("downDelay", 0, 600_000);
    if let Some(cost) = reader.integer("cost", 0, u32::MAX.into()) {
        link.cost = u32::try_from(cost).unwrap_or(u32::MAX);
    }
    link.max_rate = limit(
        reader,
        "maxRate",
        "a rate such as \"50Mbit\"",
        bits_per_second,
    );
    link.data_cap = limit(
        reader,
        "dataCap",
        "bytes, or a size such as \"10GB\"",
        bytes,
    );
    reader.refuse(&UNSUPPORTED);
    reader.warn_of_others(&[&KEYS, &UNSUPPORTED]);
    link
}

fn speeds(reader: &mut Reader<'_>, key: &'static str) -> (Option<Speed>, Option<Speed>) {
    let Some(value) = reader.get(key) else {
        return (None, None);
    };
    let place = reader.place(key);
    if let Value::Object(directions) = value {
        for name in directions
            .keys()
            .filter(|name| *name != "up" && *name != "down")
        {
            let place = format!("{place}.{name}");
            complain(
                reader.problems,
                &place,
                Severity::Error,
                "must be up or down",
            );
        }
        let mut of = |direction: &str| {
            let place = format!("{place}.{direction}");
            speed(directions.get(direction)?, &place, reader.problems)
        };
        return (of("up"), of("down"));
    }
    let speed = speed(value, &place, reader.problems);
    (speed, speed)
}

/// A number without a unit, or `"50Mbit"`. 0 is not declared.
fn speed(value: &Value, place: &str, problems: &mut Vec<ConfigProblem>) -> Option<Speed> {
    let parsed = match value {
        Value::Number(number) => match number.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(0) => return None,
            Some(number) => Ok(Speed::Relative(number)),
            None => Err(format!(
                "must be an integer from 0 to {}, is {number}",
                u32::MAX
            )),
        },
        Value::String(text) => bits_per_second(text)
            .map(Speed::BitsPerSecond)
            .ok_or_else(|| format!("must be a number or a speed such as \"50Mbit\", is {text:?}")),
        other => Err(format!("must be a number or a string, is {}", kind(other))),
    };
    parsed
        .map_err(|reason| complain(problems, place, Severity::Error, reason))
        .ok()
}

/// A limit with a unit; an integer is in the smallest one. 0 is no limit.
fn limit(
    reader: &mut Reader<'_>,
    key: &str,
    form: &str,
    parse: impl Fn(&str) -> Option<u64>,
) -> Option<u64> {
    let value = reader.get(key)?;
    let found = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => parse(text),
        _ => None,
    };
    if found.is_none() {
        reader.error(key, format!("must be {form}, is {value}"));
    }
    found.filter(|limit| *limit > 0)
}

/// `10GB`, `1.5 TiB`, `800 kB`: decimal and binary prefixes, bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let factor = match text[end..].trim_start() {
        "B" | "byte" | "bytes" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * factor;
    (1.0..=1e18).contains(&bytes).then_some(bytes as u64)
}

/// `50Mbit`, `1.5 Gbit/s`, `800kbps`: decimal prefixes, bits.
fn bits_per_second(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = text[end..].trim_start();
    let (factor, rest) = match unit.chars().next() {
        Some('k' | 'K') => (1e3, &unit[1..]),
        Some('m' | 'M') => (1e6, &unit[1..]),
        Some('g' | 'G') => (1e9, &unit[1..]),
        Some('t' | 'T') => (1e12, &unit[1..]),
        _ => (1.0, unit),
    };
    let known = matches!(rest, "bit" | "bits" | "bit/s" | "bits/s" | "bps" | "b/s");
    let bits = number * factor;
    (known && (1.0..=1e15).contains(&bits)).then_some(bits as u64)
}

/// `alloc`: fractions that make 1, or relative integers.
fn allocate(
    object: &serde_json::Map<String, Value>,
    links: &mut [LinkSettings],
    path: &str,
    problems: &mut Vec<ConfigProblem>,
) {
    let mut given: Vec<(String, f64, bool)> = Vec::new();
    for link in links.iter() {
        let Some(value) = object.get(&link.name).and_then(|entry| entry.get("alloc")) else {
            continue;
        };
        match value.as_f64() {
            Some(share) if (0.0..=255.0).contains(&share) => {
                given.push((link.name.clone(), share, value.is_u64()));
            }
            _ => {
                let place = format!("{path}.{}.alloc", link.name);
                let reason = "must be a fraction from 0.0 to 1.0 or an integer from 0 to 255";
                complain(problems, &place, Severity::Error, reason);
                return;
            }
        }
    }
    if given.is_empty() {
        return;
    }
    let sum: f64 = given.iter().map(|(_, share, _)| share).sum();
    let are_integers = given.iter().all(|(_, _, is_integer)| *is_integer);
    let are_fractions = given.iter().all(|(_, share, _)| *share <= 1.0);
    let reason = match (are_integers, are_fractions) {
        (true, _) if sum == 0.0 => Some("the shares (alloc) of all links are 0".to_owned()),
        (true, _) => None,
        (false, true) if (0.99..=1.01).contains(&sum) => None,
        (false, true) => Some(format!(
            "the fractions (alloc) of all links make {sum:.3}, not 1"
        )),
        (false, false) => Some("alloc mixes fractions with relative numbers".to_owned()),
    };
    if let Some(reason) = reason {
        complain(problems, path, Severity::Error, reason);
        return;
    }
    for (name, share, _) in given {
        if let Some(link) = links.iter_mut().find(|link| link.name == name) {
            link.allocation = Some(share);
        }
    }
}

/// A link fails over to a link of the policy, and not in a circle.
fn check_failover(links: &mut [LinkSettings], path: &str, problems: &mut Vec<ConfigProblem>) {
    let known: Vec<(String, Option<String>)> = links
        .iter()
        .map(|link| (link.name.clone(), link.failover_to.clone()))
        .collect();
    let find = |target: &str| {
        known.iter().find(|(name, _)| name == target).or_else(|| {
            known.iter().find(|(name, _)| {
                link_name::matches(name, target) || link_name::matches(target, name)
            })
        })
    };
    for link in links {
        let Some(target) = link.failover_to.clone() else {
            continue;
        };
        let place = format!("{path}.{}.failoverTo", link.name);
        let mut seen = BTreeSet::from([link.name.clone()]);
        let mut next = Some(target);
        while let Some(name) = next.take() {
            let Some((found, after)) = find(&name) else {
                if seen.len() == 1 {
                    let reason = format!("{name} is not among the links");
                    complain(problems, &place, Severity::Error, reason);
                    link.failover_to = None;
                }
                break;
            };
            if !seen.insert(found.clone()) {
                if *found == link.name {
                    let reason = "leads back to the link itself";
                    complain(problems, &place, Severity::Error, reason);
                    link.failover_to = None;
                }
                break;
            }
            next.clone_from(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_units() {
        for (text, expected) in [
            ("10GB", Some(10_000_000_000)),
            ("1.5 GiB", Some(1_610_612_736)),
            ("800 kB", Some(800_000)),
            ("7 B", Some(7)),
            ("10", None),
            ("10G", None),
            ("10Gbit", None),
            ("", None),
            ("-1GB", None),
            ("1e9TB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn speeds_with_units() {
        for (text, expected) in [
            ("50Mbit", Some(50_000_000)),
            ("1.5 Gbit/s", Some(1_500_000_000)),
            ("800kbps", Some(800_000)),
            ("100 bit", Some(100)),
            ("50MB", None),
            ("50M", None),
            ("fast", None),
            ("", None),
            ("1e999Mbit", None),
            ("99999999999999999999Tbit", None),
            ("-5Mbit", None),
            ("5µbit", None),
        ] {
            assert_eq!(bits_per_second(text), expected, "{text}");
        }
    }
}
