//! Names of links in a configuration: exact, with `*` and `?`, or a hardware address.

use protocol::MacAddress;

/// Whether `name` matches `pattern`, in which `*` stands for any characters and `?` for one.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                // Let the last star take one character more.
                Some((after, from)) => {
                    p = after;
                    n = from + 1;
                    retry = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether a name has `*` or `?`.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether `name`, as written in a configuration or an order, means the interface `interface` with the hardware address
/// `mac`, if it has one.
pub fn means(name: &str, interface: &str, mac: Option<MacAddress>) -> bool {
    matches(name, interface) || mac.is_some_and(|mac| is_address_of(name, mac))
}

/// Whether `name` is the hardware address `mac`, written with colons.
pub fn is_address_of(name: &str, mac: MacAddress) -> bool {
    let bytes: Vec<Option<u8>> = name
        .split(':')
        .map(|part| {
            (part.len() == 2)
                .then(|| u8::from_str_radix(part, 16).ok())
                .flatten()
        })
        .collect();
    bytes.len() == 6
        && bytes
            .iter()
            .zip(mac.0)
            .all(|(byte, own)| *byte == Some(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth0.100", true),
            ("ppp?", "ppp0", true),
            ("ppp?", "ppp10", false),
            ("*a*b", "xxaxxab", true),
            ("*a*b", "xxaxxac", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hardware_addresses() {
        let mac = MacAddress([2, 0, 0, 0xab, 0xcd, 0xef]);
        assert!(is_address_of("02:00:00:AB:cd:ef", mac));
        assert!(!is_address_of("02:00:00:ab:cd", mac));
        assert!(!is_address_of("eth0", mac));
        assert!(means("02:00:00:ab:cd:ef", "eth0", Some(mac)) && means("eth?", "eth0", None));
        assert!(!means("02:00:00:ab:cd:ef", "eth0", None));
    }
}
