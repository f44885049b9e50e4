//! What the members' bonds look like from outside: by their API, and by what leaves on which link.

use std::io;

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::host::Host;
use super::links;
use super::topology::interface_name;

/// The API's object of a member's bond with another; `None` without a bond.
pub(super) fn bond_of(member: &Daemon, peer: &Daemon) -> io::Result<Option<Value>> {
    let (status, bond) = member.get(&format!("/bond/show/{}", peer.address()))?;
    Ok((status == 200).then_some(bond))
}

/// Links in use and known of a member's bond with another.
pub(super) fn bond_links(member: &Daemon, peer: &Daemon) -> io::Result<Option<(u64, u64)>> {
    Ok(bond_of(member, peer)?.and_then(|bond| {
        let number = |key: &str| bond.get(key).and_then(Value::as_u64);
        number("numAliveLinks").zip(number("numTotalLinks"))
    }))
}

/// What keeps each path of a member's bond that is not used from being used, in words.
pub(super) fn unused_paths(member: &Daemon, peer: &Daemon) -> io::Result<String> {
    let Some(bond) = bond_of(member, peer)? else {
        return Ok("no bond".to_owned());
    };
    let unused: Vec<String> = bond["paths"]
        .as_array()
        .into_iter()
        .flatten()
        // A zerotier-one tells no condition.
        .filter(|path| path["eligible"] != 1 || path.get("condition").is_some_and(|c| c != "up"))
        .map(|path| {
            format!(
                "{}: {} (loss {}, punished for {} ms, heard of {} ms ago)",
                path["ifname"].as_str().unwrap_or_default(),
                path["condition"].as_str().unwrap_or_default(),
                path["packetLossRatio"],
                path["punishmentMs"],
                path["lastInAge"]
            )
        })
        .collect();
    Ok(if unused.is_empty() {
        "each path works".to_owned()
    } else {
        unused.join(", ")
    })
}

/// Makes a member's bond forget what it holds against a link. Only hawserd knows this order.
pub(super) fn forgive(member: &Daemon, peer: &Daemon, link: u8) -> io::Result<()> {
    let path = format!("/bond/{}/link/{}", peer.address(), interface_name(link));
    match member.post(&path, &json!({"action": "reset"}))? {
        (200, _) => Ok(()),
        (status, answer) => Err(io::Error::other(format!(
            "{path} answered {status}: {answer}"
        ))),
    }
}

/// What a host has sent by each of its links so far.
pub(super) fn bytes_by_link(host: &Host, links: u8) -> io::Result<Vec<u64>> {
    host.run(move || {
        (0..links)
            .map(|link| links::sent_bytes(&interface_name(link)))
            .collect()
    })?
}

/// The link whose counter grew most; the first of equals.
pub(super) fn busiest(before: &[u64], after: &[u64]) -> u8 {
    let growth = after.iter().zip(before).map(|(a, b)| a.saturating_sub(*b));
    let busiest = (0_u8..)
        .zip(growth)
        .max_by_key(|(link, bytes)| (*bytes, std::cmp::Reverse(*link)));
    busiest.map_or(0, |(link, _)| link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_link_is_the_one_that_grew_most() {
        assert_eq!(busiest(&[900, 10, 20], &[901, 50, 40]), 1);
        assert_eq!(busiest(&[0, 0], &[7, 7]), 0);
        assert_eq!(busiest(&[], &[]), 0);
    }
}
