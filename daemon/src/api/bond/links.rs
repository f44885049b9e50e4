//! Orders about links in the API: `/bond/{peer}/link/{name}`.

use bond::Command as Order;
use bond::config::LinkMode;
use protocol::Address;
use serde_json::{Map, Value};

use super::Method;
use crate::bonding::{Change, LinkChange};
use crate::control::Control;

/// Longest name of a link in a path.
const MAX_NAME: usize = 64;

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
enum LinkOrder {
    /// Another use of the link, as in the settings.
    Change(LinkChange),
    /// Something that the bond does once.
    Once(Order),
}

/// Carries out an order and says what changed, or why nothing did.
pub(super) async fn order(
    control: &mut Control,
    method: Method,
    peer: Address,
    name: &str,
    mut body: Map<String, Value>,
) -> Result<String, String> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err("this is no name of a link".to_owned());
    }
    let save = body.remove("save") == Some(Value::Bool(true));
    let action = match (method, body.get("action")) {
        (Method::Delete, _) => "remove",
        (_, None) => "add",
        (_, Some(action)) => action.as_str().unwrap_or(""),
    };
    match parse(action, name, &body)? {
        LinkOrder::Once(_) if save => Err(format!("{action} changes nothing that could be saved")),
        LinkOrder::Once(order) => control.order(peer, order).await,
        LinkOrder::Change(change) => {
            let change = Change::Link {
                name: name.to_owned(),
                change,
                is_there: control.has_link(name),
            };
            let text = control.change_bond(peer, &change).await?;
            if save {
                let saved = control.save_bond(peer).await;
                return saved.map_or_else(
                    |error| Err(format!("{text}; not saved: {error:#}")),
                    |saved| Ok(format!("{text}; {saved}")),
                );
            }
            Ok(text)
        }
    }
}

fn parse(action: &str, name: &str, body: &Map<String, Value>) -> Result<LinkOrder, String> {
    let name = name.to_owned();
    Ok(match action {
        "add" => {
            let mode = match body.get("mode") {
                None => LinkMode::Primary,
                Some(mode) => {
                    let modes = [
                        LinkMode::Primary,
                        LinkMode::Secondary,
                        LinkMode::Spare,
                        LinkMode::Never,
                    ];
                    let found = modes.into_iter().find(|known| mode == known.name());
                    found.ok_or_else(|| {
                        format!("mode: {mode} is none of primary, secondary, spare, never")
                    })?
                }
            };
            LinkOrder::Change(LinkChange::Add(mode))
        }
        "remove" => LinkOrder::Change(LinkChange::Remove),
        "enable" => LinkOrder::Change(LinkChange::Enable),
        "disable" => LinkOrder::Change(LinkChange::Disable),
        "nominate" => LinkOrder::Once(Order::LinkNominate(name)),
        "reset" => LinkOrder::Once(Order::LinkReset(name)),
        other => {
            return Err(format!(
                "action: {other:?} is none of add, remove, nominate, enable, disable, reset"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orders_for_links() {
        let body = |value: Value| value.as_object().cloned().unwrap();
        let spare = body(json!({"mode": "spare"}));
        let wan = || "wan1".to_owned();
        for (action, order) in [
            ("add", LinkOrder::Change(LinkChange::Add(LinkMode::Spare))),
            ("remove", LinkOrder::Change(LinkChange::Remove)),
            ("enable", LinkOrder::Change(LinkChange::Enable)),
            ("disable", LinkOrder::Change(LinkChange::Disable)),
            ("nominate", LinkOrder::Once(Order::LinkNominate(wan()))),
            ("reset", LinkOrder::Once(Order::LinkReset(wan()))),
        ] {
            assert_eq!(parse(action, "wan1", &spare), Ok(order));
        }
        let refused = parse("eat", "wan1", &spare).unwrap_err();
        assert!(refused.contains("none of add"), "{refused}");
        let refused = parse("add", "wan1", &body(json!({"mode": "best"}))).unwrap_err();
        assert!(refused.contains("none of primary"), "{refused}");
    }
}
