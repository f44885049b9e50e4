//! What passes a host's links, counted by nftables by interface, direction, remote address and length of the UDP datagram.
//! Counted is what is offered: on the way out before a shaper may drop it.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::failures;
use super::host::Host;

const TABLE: &str = "census";

/// Ethernet, IPv4: what a frame on a link has beside the UDP datagram.
pub const HEADERS: u64 = 14 + 20;

const RULES: &str = "\
add set inet census outgoing { typeof oifname . ip daddr . udp length; size 65535; flags dynamic; counter; }
add set inet census incoming { typeof iifname . ip saddr . udp length; size 65535; flags dynamic; counter; }
add chain inet census output { type filter hook output priority 0; }
add chain inet census input { type filter hook input priority 0; }
add rule inet census output oifname \"eth*\" update @outgoing { oifname . ip daddr . udp length }
add rule inet census input iifname \"eth*\" update @incoming { iifname . ip saddr . udp length }
";

/// To or from the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// From it.
    Out,
    /// To it.
    In,
}

/// What is counted apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Kind {
    /// To or from the host.
    pub direction: Direction,
    /// The host's interface.
    pub interface: String,
    /// The address at the other end.
    pub remote: Ipv4Addr,
    /// Of the UDP datagram, with its header. More than any packet has: several at once, which the kernel takes apart later.
    pub length: u16,
}

/// Packets, and their bytes on the link with Ethernet's header.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Counts by kind.
pub type Counts = BTreeMap<Kind, Count>;

/// Begins to count at a host, from zero.
pub fn begin(host: &Host) -> io::Result<()> {
    host.run(|| {
        let table =
            format!("add table inet {TABLE}\ndelete table inet {TABLE}\nadd table inet {TABLE}\n");
        failures::nft(&["-f", "-"], &(table + RULES))
    })??;
    Ok(())
}

/// What was counted since [`begin`].
pub fn read(host: &Host) -> io::Result<Counts> {
    let listing = host.run(|| failures::nft(&["-j", "list", "table", "inet", TABLE], ""))??;
    Ok(parse(&serde_json::from_str(&listing)?))
}

/// What came to `before` until `after`.
pub fn difference(after: &Counts, before: &Counts) -> Counts {
    let mut grown = Counts::new();
    for (kind, count) in after {
        let old = before.get(kind).copied().unwrap_or_default();
        let packets = count.packets.saturating_sub(old.packets);
        if packets > 0 {
            let bytes = count.bytes.saturating_sub(old.bytes);
            grown.insert(kind.clone(), Count { packets, bytes });
        }
    }
    grown
}

/// Reads the sets in nft's JSON (libnftables-json(5)).
fn parse(listing: &Value) -> Counts {
    let mut counts = Counts::new();
    for object in listing["nftables"].as_array().into_iter().flatten() {
        let set = &object["set"];
        let direction = match set["name"].as_str() {
            Some("outgoing") => Direction::Out,
            Some("incoming") => Direction::In,
            _ => continue,
        };
        for element in set["elem"].as_array().into_iter().flatten() {
            let element = &element["elem"];
            let parts = &element["val"]["concat"];
            let (Some(interface), Some(Ok(remote)), Some(Ok(length))) = (
                parts[0].as_str(),
                parts[1].as_str().map(str::parse),
                parts[2].as_u64().map(u16::try_from),
            ) else {
                continue;
            };
            let number = |key: &str| element["counter"][key].as_u64().unwrap_or(0);
            let packets = number("packets");
            let kind = Kind {
                direction,
                interface: interface.to_owned(),
                remote,
                length,
            };
            // nft counts from the IP header on.
            let bytes = number("bytes") + 14 * packets;
            counts.insert(kind, Count { packets, bytes });
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_are_read_and_subtracted() {
        let listing = |packets: u64| {
            json!({"nftables": [
                {"metainfo": {}},
                {"set": {"name": "outgoing", "elem": [{"elem": {
                    "val": {"concat": ["eth1", "10.77.1.4", 108]},
                    "counter": {"packets": packets, "bytes": 128 * packets}}}]}},
                {"set": {"name": "incoming"}},
            ]})
        };
        let (before, after) = (parse(&listing(2)), parse(&listing(5)));
        let grown = difference(&after, &before);
        let (kind, count) = grown.first_key_value().expect("one kind");
        assert_eq!((kind.direction, kind.length), (Direction::Out, 108));
        assert_eq!(
            (kind.interface.as_str(), kind.remote),
            ("eth1", Ipv4Addr::new(10, 77, 1, 4))
        );
        assert_eq!((count.packets, count.bytes), (3, 3 * (128 + 14)));
        assert!(difference(&after, &after).is_empty());
    }
}
