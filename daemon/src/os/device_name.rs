//! Names of TAP devices (service specification A.10). Firewalls match `zt*`, so the names must be the reference's.

use std::path::Path;

use protocol::NetworkId;

/// Longest interface name.
const MAX_LENGTH: usize = 15;
/// RFC 4648 in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The name for `network`'s device: from `devicemap` if that names one that is free, else derived from the id.
pub fn choose(network: NetworkId, devicemap: &str, exists: impl Fn(&str) -> bool) -> String {
    if let Some(name) = mapped(network, devicemap)
        && !exists(&name)
    {
        return name;
    }
    let mut trial = 0;
    loop {
        let name = derived(network, trial);
        if !exists(&name) || trial == u64::from(u16::MAX) {
            return name;
        }
        trial += 1;
    }
}

/// True if the system has an interface of that name.
pub fn exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
        || Path::new("/proc/sys/net/ipv4/conf").join(name).exists()
}

fn mapped(network: NetworkId, devicemap: &str) -> Option<String> {
    let id = network.to_string();
    let name = devicemap.lines().find_map(|line| {
        let (key, name) = line.split_once('=')?;
        (key.trim() == id).then(|| name.trim())
    })?;
    let usable = |c: &char| c.is_ascii_graphic() && !['/', ':'].contains(c);
    let name: String = name.chars().take_while(usable).take(MAX_LENGTH).collect();
    (!name.is_empty() && name != "." && name != "..").then_some(name)
}

fn derived(network: NetworkId, trial: u64) -> String {
    let bits = (network.0 ^ (network.0 >> 24)).wrapping_add(trial);
    let digits = (0..8).rev().map(|digit| {
        let value = (bits >> (5 * digit)) & 0x1f;
        char::from(BASE32[value as usize])
    });
    "zt".chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_are_the_references() {
        let cases = [
            (0x4b3e_5f84_e842_c20d, "ztz7lb2rxf"),
            (0x4b3e_5f84_e8b7_b243, "ztz7loqnvl"),
            (0xff00_1600_1600_0000, "zt74lbmaaw"),
            (0xffff_ffff_ffff_ff01, "ztaaaaaah6"),
            (0x8056_c2e2_1c00_0001, "ztmjfmfyq5"),
        ];
        for (id, name) in cases {
            assert_eq!(choose(NetworkId(id), "", |_| false), name);
        }
    }

    #[test]
    fn a_taken_name_is_stepped_over() {
        let id = NetworkId(0x4b3e_5f84_e842_c20d);
        assert_eq!(choose(id, "", |name| name == "ztz7lb2rxf"), "ztz7lb2rxg");
    }

    #[test]
    fn the_device_map_comes_first() {
        let id = NetworkId(0x4b3e_5f84_e842_c20d);
        let map = "# comment\n4b3e5f84e842c20d=waytoolongdevicename0\n";
        assert_eq!(choose(id, map, |_| false), "waytoolongdevic");
        assert_eq!(
            choose(id, map, |name| name.starts_with("way")),
            "ztz7lb2rxf"
        );
        for bad in [
            "4b3e5f84e842c20d=",
            "4b3e5f84e842c20d=../x",
            "4B3E5F84E842C20D=vpn0",
            "junk",
        ] {
            assert_ne!(choose(id, bad, |_| false), "vpn0", "{bad}");
        }
        assert_eq!(choose(id, "4b3e5f84e842c20d=../x", |_| false), "ztz7lb2rxf");
    }
}
