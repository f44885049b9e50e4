//! Our own addresses as others see them (protocol specification 9.1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use protocol::{Address, Instant, IpScope};

use crate::io::PathKey;
use crate::limits::MAX_SURFACE_REPORTS;
use crate::timers::{SURFACE, within};

/// Reports of our external addresses.
#[derive(Default)]
pub(crate) struct Surface {
    reports: BTreeMap<ReportKey, Report>,
}

type ReportKey = (Address, PathKey, IpScope);

struct Report {
    address: SocketAddr,
    at: Instant,
    /// By an upstream.
    trusted: bool,
}

impl Surface {
    /// `reporter`, heard over `path`, sees us at `seen`. If an upstream reports another IP than before, our external
    /// address changed: then the scope is returned whose paths of this family must prove themselves anew.
    pub(crate) fn report(
        &mut self,
        now: Instant,
        reporter: Address,
        path: PathKey,
        seen: SocketAddr,
        trusted: bool,
    ) -> Option<IpScope> {
        let scope = IpScope::of(seen.ip());
        if scope != IpScope::of(path.remote.ip())
            || matches!(
                scope,
                IpScope::None | IpScope::Loopback | IpScope::Multicast
            )
        {
            return None;
        }
        let key = (reporter, path, scope);
        let moved = trusted
            && self
                .reports
                .get(&key)
                .is_some_and(|r| within(Some(r.at), now, SURFACE) && r.address.ip() != seen.ip());
        if moved {
            self.reports
                .retain(|(_, other, s), _| *s != scope || other.remote == path.remote);
        }
        if self.reports.len() >= MAX_SURFACE_REPORTS && !self.reports.contains_key(&key) {
            let oldest = self
                .reports
                .iter()
                .min_by_key(|(_, r)| (r.trusted, r.at))
                .map(|(k, _)| *k);
            oldest.map(|k| self.reports.remove(&k));
        }
        self.reports.insert(
            key,
            Report {
                address: seen,
                at: now,
                trusted,
            },
        );
        moved.then_some(scope)
    }

    /// All addresses with ports that were reported lately, each once: those that upstreams reported come first.
    pub(crate) fn addresses(&self, now: Instant) -> Vec<SocketAddr> {
        let mut seen = BTreeSet::new();
        let mut addresses = Vec::new();
        for trusted in [true, false] {
            for report in self.reports.values() {
                let counts = report.trusted == trusted && within(Some(report.at), now, SURFACE);
                if counts && seen.insert(report.address) {
                    addresses.push(report.address);
                }
            }
        }
        addresses
    }

    /// Drops old reports.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.reports.retain(|_, r| within(Some(r.at), now, SURFACE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::LinkId;

    fn path(remote: &str) -> PathKey {
        PathKey {
            link: LinkId(1),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn an_upstream_that_sees_another_ip_resets_the_scope() {
        let mut surface = Surface::default();
        let root = Address::from_u64(1);
        let now = Instant::from_millis(1000);
        let seen = |text: &str| text.parse().unwrap();
        let from = path("9.9.9.9:9993");
        assert_eq!(
            surface.report(now, root, from, seen("8.1.1.1:1"), true),
            None
        );
        assert_eq!(
            surface.report(now, root, from, seen("8.1.1.1:2"), true),
            None
        );
        assert_eq!(
            surface.report(now, root, from, seen("8.1.1.2:2"), true),
            Some(IpScope::Global)
        );
        assert_eq!(surface.addresses(now).len(), 1);
    }

    #[test]
    fn a_report_of_another_scope_or_of_loopback_is_ignored() {
        let mut surface = Surface::default();
        let now = Instant::from_millis(1000);
        let who = Address::from_u64(1);
        surface.report(
            now,
            who,
            path("9.9.9.9:1"),
            "10.0.0.1:1".parse().unwrap(),
            true,
        );
        surface.report(
            now,
            who,
            path("127.0.0.1:1"),
            "127.0.0.1:1".parse().unwrap(),
            true,
        );
        assert!(surface.addresses(now).is_empty());
    }
}
