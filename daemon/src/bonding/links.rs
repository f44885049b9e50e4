//! Orders about links, as changes of the `links` that the parser reads for one peer.

use bond::config::LinkMode;
use bond::link_name;
use serde_json::{Map, Value, json};

/// What an operator wants of a link of one peer's bond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkChange {
    /// Let it be a link of the bond, with this mode.
    Add(LinkMode),
    /// Let it be none.
    Remove,
    /// Use it.
    Enable,
    /// Do not use it.
    Disable,
}

/// `links` as they stand in the settings (none: every interface is used), with a change of the link `name`; and in words what
/// is new. `is_there`: the machine has such a link now.
///
/// # Errors
///
/// Why nothing changes.
pub(super) fn changed(
    links: Option<&Value>,
    name: &str,
    change: LinkChange,
    is_there: bool,
) -> Result<(Map<String, Value>, String), String> {
    if name.is_empty() {
        return Err("a link needs a name".to_owned());
    }
    let mut links = explicit(links);
    let entry = links.get(name).and_then(Value::as_object).cloned();
    let is_known = is_there || entry.is_some();
    let text = match change {
        LinkChange::Add(mode) => {
            let mut link = entry.unwrap_or_default();
            let is_enabled = link.get("enabled") != Some(&Value::Bool(false));
            if is_enabled && link.get("mode") == Some(&json!(mode.name())) {
                return Err(format!("{name} is {} already", mode.name()));
            }
            link.remove("enabled");
            link.insert("mode".to_owned(), json!(mode.name()));
            links.insert(name.to_owned(), Value::Object(link));
            format!("{name} is {}", mode.name())
        }
        LinkChange::Remove => {
            if !is_known {
                return Err(format!("there is no link {name}"));
            }
            let never = json!({"mode": LinkMode::Never.name()});
            if links.get(name) == Some(&never) {
                return Err(format!("{name} is no link of the bond already"));
            }
            let listed = links.remove(name).is_some();
            let by_pattern = links.keys().any(|other| link_name::matches(other, name));
            if !listed && !by_pattern {
                return Err(format!("{name} is no link of the bond already"));
            }
            // No links at all would mean that every interface is used.
            if by_pattern || links.is_empty() {
                links.insert(name.to_owned(), never);
            }
            format!("{name} is no link of the bond any more")
        }
        LinkChange::Enable | LinkChange::Disable => {
            let enabled = change == LinkChange::Enable;
            let verb = if enabled { "enabled" } else { "disabled" };
            if !is_known {
                return Err(format!("there is no link {name}"));
            }
            // What a pattern says of it stays so.
            let pattern = links
                .iter()
                .find(|(other, _)| link_name::matches(other, name));
            let inherited = pattern.and_then(|(_, link)| link.as_object()).cloned();
            let Some(mut link) = entry.or(inherited) else {
                return Err(format!("{name} is not among the links of the bond: add it"));
            };
            let was_enabled = link.get("enabled") != Some(&Value::Bool(false));
            if was_enabled == enabled {
                return Err(format!("{name} is {verb} already"));
            }
            link.remove("enabled");
            if !enabled {
                link.insert("enabled".to_owned(), Value::Bool(false));
            }
            links.insert(name.to_owned(), Value::Object(link));
            format!("{name} is {verb}")
        }
    };
    Ok((links, text))
}

/// Links as an object of links.
fn explicit(links: Option<&Value>) -> Map<String, Value> {
    match links {
        Some(Value::Object(links)) if !links.is_empty() => links.clone(),
        Some(Value::Array(names)) if !names.is_empty() => {
            let names = names.iter().filter_map(Value::as_str);
            names.map(|name| (name.to_owned(), json!({}))).collect()
        }
        _ => Map::from_iter([("*".to_owned(), json!({"mode": LinkMode::Primary.name()}))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_come_and_go() {
        use LinkChange::{Add, Disable, Enable, Remove};
        let all = json!({"*": {"mode": "primary"}});
        let two = json!({"wan1": {"mode": "primary", "speed": 5}, "wan2": {}});
        for (links, name, change, is_there, expected) in [
            (
                Value::Null,
                "wan1",
                Disable,
                true,
                Ok(
                    json!({"*": {"mode": "primary"}, "wan1": {"mode": "primary", "enabled": false}}),
                ),
            ),
            (
                all.clone(),
                "wan1",
                Disable,
                false,
                Err("there is no link wan1"),
            ),
            (
                all.clone(),
                "wan1",
                Enable,
                true,
                Err("wan1 is enabled already"),
            ),
            (
                all,
                "wan1",
                Remove,
                true,
                Ok(json!({"*": {"mode": "primary"}, "wan1": {"mode": "never"}})),
            ),
            (
                two.clone(),
                "wan2",
                Remove,
                true,
                Ok(json!({"wan1": {"mode": "primary", "speed": 5}})),
            ),
            (
                json!(["wan2"]),
                "wan2",
                Remove,
                true,
                Ok(json!({"wan2": {"mode": "never"}})),
            ),
            (
                json!({"wan2": {"mode": "never"}}),
                "wan2",
                Remove,
                true,
                Err("wan2 is no link of the bond already"),
            ),
            (
                two.clone(),
                "wan3",
                Remove,
                true,
                Err("wan3 is no link of the bond already"),
            ),
            (
                two.clone(),
                "wan3",
                Enable,
                true,
                Err("wan3 is not among the links of the bond: add it"),
            ),
            (
                two.clone(),
                "wan1",
                Add(LinkMode::Spare),
                false,
                Ok(json!({"wan1": {"mode": "spare", "speed": 5}, "wan2": {}})),
            ),
            (
                two.clone(),
                "wan1",
                Add(LinkMode::Primary),
                true,
                Err("wan1 is primary already"),
            ),
            (
                json!({"wan1": {"mode": "primary", "enabled": false}}),
                "wan1",
                Add(LinkMode::Primary),
                true,
                Ok(json!({"wan1": {"mode": "primary"}})),
            ),
            (two, "", Enable, true, Err("a link needs a name")),
        ] {
            let found = changed(Some(&links), name, change, is_there);
            let found = found.map(|(links, _)| Value::Object(links));
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{links} {name} {change:?}"
            );
        }
    }
}
