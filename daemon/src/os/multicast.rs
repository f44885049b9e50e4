//! Multicast groups that this host listens to on a device (service specification E.5).

use std::collections::BTreeSet;
use std::net::IpAddr;

use protocol::{IpPrefix, MacAddress, MulticastGroup};

/// Where Linux lists link-layer groups.
pub const DEV_MCAST: &str = "/proc/net/dev_mcast";

/// Groups of `device`: those of the kernel's list, and for each address the one in which it is asked for.
pub fn groups(dev_mcast: &str, device: &str, addresses: &[IpPrefix]) -> Vec<MulticastGroup> {
    let listed = dev_mcast
        .lines()
        .filter_map(|line| parse_line(line, device));
    let asked_for = addresses.iter().map(|address| match address.ip {
        IpAddr::V4(ip) => MulticastGroup::arp(ip),
        IpAddr::V6(ip) => MulticastGroup::solicited_node(ip),
    });
    let groups: BTreeSet<MulticastGroup> = listed.chain(asked_for).collect();
    groups.into_iter().collect()
}

/// `index name users global address`
fn parse_line(line: &str, device: &str) -> Option<MulticastGroup> {
    let mut fields = line.split_ascii_whitespace();
    (fields.nth(1)? == device).then_some(())?;
    let digits = fields.nth(2)?;
    (digits.len() == 12 && digits.is_ascii()).then_some(())?;
    let mut mac = [0; 6];
    for (index, byte) in mac.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(MulticastGroup {
        mac: MacAddress(mac),
        adi: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_the_captured_network() {
        let list = "2    eth0            1     0     333300000001\n\
                    5    ztz7lb2rxf      1     0     333300000001\n\
                    5    ztz7lb2rxf      1     0     01005e000001\n\
                    5    ztz7lb2rxf      2     0     3333ff52f4aa\n\
                    5    ztz7lb2rxf      2     0     zz33ff52f4aa\n\
                    5    ztz7lb2rxf\n";
        let addresses = [
            "fd4b:3e5f:84e8:42c2:d99:935c:d0ba:70f5/88".parse().unwrap(),
            "fca3:7c9d:895c:d0ba:70f5::1/40".parse().unwrap(),
            "10.79.50.29/24".parse().unwrap(),
        ];
        let groups: Vec<String> = groups(list, "ztz7lb2rxf", &addresses)
            .iter()
            .map(|group| format!("{} {}", group.mac, group.adi))
            .collect();
        assert_eq!(
            groups,
            [
                "01:00:5e:00:00:01 0",
                "33:33:00:00:00:01 0",
                "33:33:ff:00:00:01 0",
                "33:33:ff:52:f4:aa 0",
                "33:33:ff:ba:70:f5 0",
                "ff:ff:ff:ff:ff:ff 172962333",
            ]
        );
    }
}
