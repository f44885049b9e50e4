//! Failures that a host does not notice by itself: nftables drops what arrives by an interface (nft(8)).
//!
//! What one host drops on arrival, another one has sent in vain: that is a failure of one direction. Both carriers stay.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use super::host::Host;
use super::topology::interface_name;

/// What a person without the tool is told.
const MISSING: &str =
    "failures of one direction and lossy links need the tool nft: install the package nftables";

/// Loss is given in thousandths.
pub const ALL: u16 = 1000;

/// Fails with a sentence for a person if nft is not installed.
pub fn check_tool() -> io::Result<()> {
    nft(&["--version"], "").map(|_| ())
}

/// Drops so many thousandths, chosen at random, of the IP packets that arrive at `host` by `link`, until the next call.
pub fn drop_arriving(host: &Host, link: u8, thousandths: u16) -> io::Result<()> {
    let rules = drop_rules(link, thousandths);
    host.run(move || nft(&["-f", "-"], &rules))??;
    Ok(())
}

/// Replaces the link's table in one step: nothing passes while it changes.
fn drop_rules(link: u8, thousandths: u16) -> String {
    let (table, interface) = (format!("lossy{link}"), interface_name(link));
    let forget = format!("add table inet {table}\ndelete table inet {table}\n");
    let chance = match thousandths {
        0 => return forget,
        ALL.. => String::new(),
        some => format!("numgen random mod {ALL} < {some} "),
    };
    format!(
        "{forget}table inet {table} {{ chain input {{ type filter hook input priority -10;\n\
         iifname \"{interface}\" {chance}drop\n}}\n}}\n"
    )
}

/// Counts the UDP datagrams that leave `host` by `link` from now on, for [`departures`].
pub fn count_departures(host: &Host, link: u8) -> io::Result<()> {
    let (table, interface) = (counting_table(link), interface_name(link));
    let rules = format!(
        "add table inet {table}\ndelete table inet {table}\n\
         table inet {table} {{ chain output {{ type filter hook output priority 0;\n\
         oifname \"{interface}\" meta l4proto udp counter\n}}\n}}\n"
    );
    host.run(move || nft(&["-f", "-"], &rules))??;
    Ok(())
}

/// UDP datagrams that left since [`count_departures`].
pub fn departures(host: &Host, link: u8) -> io::Result<u64> {
    let table = counting_table(link);
    let listing = host.run(move || nft(&["list", "table", "inet", &table], ""))??;
    counted_packets(&listing).ok_or_else(|| io::Error::other(format!("nft: no count in {listing}")))
}

fn counting_table(link: u8) -> String {
    format!("counted{link}")
}

/// Reads `… counter packets 12 bytes 3456`.
fn counted_packets(listing: &str) -> Option<u64> {
    let (_, rest) = listing.split_once("counter packets ")?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Runs nft in the calling thread's namespace; returns what it prints.
pub(super) fn nft(arguments: &[&str], input: &str) -> io::Result<String> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(error.kind(), MISSING),
            _ => error,
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("nft: {}", reason.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_drop_everything_a_share_or_nothing() {
        assert!(drop_rules(2, ALL).contains("iifname \"eth2\" drop\n"));
        assert!(drop_rules(0, 60).contains("iifname \"eth0\" numgen random mod 1000 < 60 drop\n"));
        let nothing = drop_rules(1, 0);
        assert!(nothing.ends_with("delete table inet lossy1\n"));
    }

    #[test]
    fn counts_are_read_from_the_listing() {
        let listing = "table inet counted0 {\n oifname \"eth0\" meta l4proto udp counter packets 17 bytes 99\n}";
        assert_eq!(counted_packets(listing), Some(17));
        assert_eq!(counted_packets("table inet counted0 {\n}"), None);
    }
}
