//! What links with a data cap carried this month: counted over all bonds, kept in the home, compared with the cap.
//!
//! Counted are the UDP payloads of bonded peers, both ways, as the bonds count them. What leaves beside bonds, and what a
//! crash did not write down, is not; a cap should leave room for that.

use std::collections::{BTreeMap, BTreeSet};

use bond::link_name::means;
use bond::{BondSettings, BondStatus, PathId};
use protocol::Address;
use serde_json::{Value, json};

use super::presence::Present;

/// The file's name in the home.
pub const FILE: &str = "bond-usage.json";
/// From this share of its cap on, in hundredths, a link is warned of.
const WARN_AT: u64 = 80;
/// Interfaces in the file at most: names that came and went must not pile up.
const MAX_LINKS: usize = 256;

/// Bytes by interface in one month.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Year and month, UTC.
    month: (i64, u8),
    used: BTreeMap<String, u64>,
    /// What each path was seen to have carried.
    seen: BTreeMap<(Address, PathId), u64>,
    warned: BTreeSet<String>,
    reached: BTreeSet<String>,
    is_new: bool,
}

/// A link and its cap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// The interface.
    pub interface: String,
    /// Bytes this month.
    pub used: u64,
    /// Bytes allowed per month.
    pub cap: u64,
}

/// What is new.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct News {
    /// At 80 % of their cap.
    pub warnings: Vec<Share>,
    /// At their cap.
    pub reached: Vec<Share>,
    /// Other links are over their cap than before.
    pub changed: bool,
}

impl Usage {
    /// As written by [`Self::to_file`]; anything else counts as nothing.
    pub fn from_file(content: &[u8]) -> Self {
        let file: Value = serde_json::from_slice(content).unwrap_or(Value::Null);
        let month = file["month"].as_str().and_then(|text| {
            let (year, month) = text.split_once('-')?;
            Some((year.parse().ok()?, month.parse().ok()?))
        });
        let links = file["links"].as_object().into_iter().flatten();
        let used = links
            .filter_map(|(name, bytes)| Some((name.clone(), bytes.as_u64()?)))
            .take(MAX_LINKS);
        Self {
            month: month.unwrap_or_default(),
            used: used.collect(),
            ..Self::default()
        }
    }

    /// For the home, if there is anything new to keep.
    pub fn to_file(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.is_new) {
            return None;
        }
        let (year, month) = self.month;
        let file = json!({"links": self.used, "month": format!("{year:04}-{month:02}")});
        Some(format!("{file:#}\n").into_bytes())
    }

    /// Counts what bonds carried since the last call, and compares. `wall`: milliseconds since the Unix epoch.
    pub fn update(
        &mut self,
        settings: &BondSettings,
        interfaces: &[Present],
        bonds: &[BondStatus],
        wall: u64,
    ) -> News {
        let month = month_of(wall);
        if month != self.month {
            self.month = month;
            self.used.clear();
            self.warned.clear();
            self.is_new = true;
        }
        let mut seen = BTreeMap::new();
        for bond in bonds {
            for path in &bond.paths {
                let (key, bytes) = ((bond.peer, path.id), path.bytes.0 + path.bytes.1);
                // Of a bond that was made anew, all is new.
                let before = self.seen.get(&key).filter(|before| **before <= bytes);
                let new = bytes - before.copied().unwrap_or(0);
                seen.insert(key, bytes);
                let is_known = self.used.contains_key(&path.interface);
                if new > 0 && (is_known || self.used.len() < MAX_LINKS) {
                    *self.used.entry(path.interface.clone()).or_default() += new;
                    self.is_new = true;
                }
            }
        }
        self.seen = seen;
        let shares = self.shares(settings, interfaces);
        let mut news = News::default();
        let mut reached = BTreeSet::new();
        for share in shares {
            let percent = u128::from(share.used) * 100;
            if percent >= u128::from(share.cap) * 100 {
                reached.insert(share.interface.clone());
                if !self.reached.contains(&share.interface) {
                    self.warned.insert(share.interface.clone());
                    news.reached.push(share);
                }
            } else if percent >= u128::from(share.cap) * u128::from(WARN_AT)
                && self.warned.insert(share.interface.clone())
            {
                news.warnings.push(share);
            }
        }
        news.changed = reached != self.reached;
        self.reached = reached;
        news
    }

    /// Links that have a cap in settings that are in use.
    pub fn shares(&self, settings: &BondSettings, interfaces: &[Present]) -> Vec<Share> {
        let policies = || std::iter::once(&settings.default_policy).chain(settings.peers.values());
        let links = || policies().flat_map(|policy| &policy.links);
        let shares = interfaces.iter().filter_map(|interface| {
            let caps = links()
                .filter(|link| means(&link.name, &interface.name, interface.hardware_address));
            let cap = caps.filter_map(|link| link.data_cap).min()?;
            Some(Share {
                interface: interface.name.clone(),
                used: self.used.get(&interface.name).copied().unwrap_or(0),
                cap,
            })
        });
        shares.collect()
    }

    /// Interfaces over their cap.
    pub const fn reached(&self) -> &BTreeSet<String> {
        &self.reached
    }
}

/// Year and month, UTC, of milliseconds since the Unix epoch.
fn month_of(wall: u64) -> (i64, u8) {
    let days = i64::try_from(wall / 86_400_000).unwrap_or(i64::MAX / 2);
    // Years that begin in March have their leap day at the end; 719 468 days lie between their era and the epoch.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bond::{Bond, PathInfo, PeerTraits};
    use protocol::Instant;

    use super::*;

    const NOVEMBER: u64 = 1_795_197_180_675;
    const DECEMBER: u64 = NOVEMBER + 30 * 86_400_000;

    fn settings() -> BondSettings {
        let file = json!({"defaultBondingPolicy": "p", "policies": {"p": {"basePolicy": "active-backup",
            "links": {"wan*": {"dataCap": 1000}, "wan1": {"dataCap": "1MB"}}}}});
        let (settings, problems) = BondSettings::parse(&file);
        assert_eq!(problems, []);
        settings
    }

    fn bonds(bytes: u64) -> Vec<BondStatus> {
        let policy = Arc::clone(&settings().default_policy);
        let traits = PeerTraits {
            is_stock: true,
            can_reorder: false,
        };
        let now = Instant::from_millis(1000);
        let mut bond = Bond::new(policy, "a92cb526fa".parse().unwrap(), traits, now, 7);
        let info = PathInfo {
            id: PathId(1),
            interface: "wan2".to_owned(),
            interface_mac: None,
            local: "10.0.0.1:9993".parse().unwrap(),
            remote: "10.0.0.2:9993".parse().unwrap(),
            link_up: true,
            confirmed: true,
        };
        bond.add_path(info, now);
        bond.handle_sent(PathId(1), 1, bytes, now);
        vec![bond.status(now)]
    }

    #[test]
    fn caps_are_warned_of_reached_and_lifted_with_the_month() {
        let interfaces = ["wan1", "wan2", "lan"].map(|name| Present {
            name: name.to_owned(),
            hardware_address: None,
        });
        let settings = settings();
        let mut usage = Usage::default();
        let mut update = |bytes, wall| usage.update(&settings, &interfaces, &bonds(bytes), wall);
        assert_eq!(update(799, NOVEMBER), News::default());
        let news = update(800, NOVEMBER);
        assert_eq!((news.warnings[0].used, news.warnings[0].cap), (800, 1000));
        assert_eq!(update(900, NOVEMBER), News::default());
        // A bond that was made anew begins at 0: 900 and 100.
        let news = update(100, NOVEMBER);
        assert_eq!(
            (news.reached[0].interface.as_str(), news.changed),
            ("wan2", true)
        );
        assert_eq!(update(150, NOVEMBER), News::default());
        let news = update(150, DECEMBER);
        assert!(news.changed && news.reached.is_empty());
        assert!(usage.reached().is_empty());
    }

    #[test]
    fn counts_outlive_the_process() {
        let settings = settings();
        let mut usage = Usage::default();
        assert_eq!(usage.to_file(), None);
        usage.update(&settings, &[], &bonds(700), NOVEMBER);
        let file = usage.to_file().unwrap();
        assert_eq!(usage.to_file(), None);
        let text = String::from_utf8(file.clone()).unwrap();
        assert!(
            text.contains("\"month\": \"2026-11\"") && text.contains("\"wan2\": 700"),
            "{text}"
        );
        let mut again = Usage::from_file(&file);
        again.update(&settings, &[], &bonds(50), NOVEMBER);
        assert_eq!(again.used["wan2"], 750);
        for broken in [&b"{"[..], b"[]", b"{\"month\": 5, \"links\": 7}"] {
            assert!(Usage::from_file(broken).used.is_empty());
        }
    }

    #[test]
    fn months() {
        for (seconds, expected) in [
            (0, (1970, 1)),
            (951_782_400, (2000, 2)),
            (951_868_800, (2000, 3)),
            (1_735_689_599, (2024, 12)),
            (1_735_689_600, (2025, 1)),
        ] {
            assert_eq!(month_of(seconds * 1000), expected);
        }
    }
}
