//! Links that the settings name and the machine does not have: named once, and waited for.

use std::collections::{BTreeMap, BTreeSet};

use bond::BondSettings;
use bond::link_name::means;
use protocol::MacAddress;

/// An interface of the machine, as far as names of links concern it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Present {
    /// Its name.
    pub name: String,
    /// Its hardware address, if it has one.
    pub hardware_address: Option<MacAddress>,
}

/// Remembers which links were missing.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    missing: BTreeSet<String>,
}

/// What is new about the links of the settings: each with the policy that names it first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct News {
    /// Not there.
    pub missing: Vec<(String, String)>,
    /// There now, after having been missing.
    pub found: Vec<(String, String)>,
}

impl Presence {
    /// Compares the links of policies in use with the machine's interfaces.
    pub fn update(&mut self, settings: &BondSettings, interfaces: &[Present]) -> News {
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        let in_use = std::iter::once(&settings.default_policy).chain(settings.peers.values());
        for policy in in_use {
            for link in policy.links.iter().filter(|link| link.enabled) {
                wanted.entry(&link.name).or_insert(&policy.name);
            }
        }
        let mut news = News::default();
        self.missing
            .retain(|name| wanted.contains_key(name.as_str()));
        for (link, policy) in wanted {
            let there = interfaces
                .iter()
                .any(|interface| means(link, &interface.name, interface.hardware_address));
            let entry = (link.to_owned(), policy.to_owned());
            if there && self.missing.remove(link) {
                news.found.push(entry);
            } else if !there && self.missing.insert(link.to_owned()) {
                news.missing.push(entry);
            }
        }
        news
    }

    /// Links that are not there.
    pub const fn missing(&self) -> &BTreeSet<String> {
        &self.missing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bond::{BasePolicy, PolicySettings};

    use super::*;

    #[test]
    fn missing_links_are_named_once_and_waited_for() {
        let mut policy = PolicySettings::standard(BasePolicy::ActiveBackup);
        policy.name = "office".to_owned();
        for name in ["eth*", "wan9", "02:00:00:00:00:07"] {
            policy.links.push(bond::config::LinkSettings::new(name));
        }
        let settings = BondSettings {
            default_policy: Arc::new(policy),
            ..BondSettings::default()
        };
        let interface = |name: &str, hardware_address| Present {
            name: name.to_owned(),
            hardware_address,
        };
        let mac = MacAddress([2, 0, 0, 0, 0, 7]);
        let mut present = vec![interface("eth0", None), interface("lan", Some(mac))];
        let mut presence = Presence::default();
        let entry = vec![("wan9".to_owned(), "office".to_owned())];
        let news = presence.update(&settings, &present);
        assert_eq!((news.missing, news.found), (entry.clone(), vec![]));
        assert_eq!(presence.update(&settings, &present), News::default());
        present.push(interface("wan9", None));
        assert_eq!(presence.update(&settings, &present).found, entry);
        assert!(presence.missing().is_empty());
    }
}
