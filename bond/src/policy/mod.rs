//! Policies: functions from path qualities, and what was decided before, to a plan. One file each.

pub mod active_backup;
pub mod allocation;
pub mod balance_aware;
pub mod balance_rr;
pub mod balance_xor;
pub mod broadcast;
mod load;
pub mod none;
pub mod placement;
pub mod queue;
mod relief;
pub mod slots;
pub mod trial;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{Instant, MacAddress};

use self::placement::Lane;
use crate::config::{LinkMode, Speed};
use crate::path::PathId;

/// How fit a path is to carry traffic; the first is best. A plan uses paths of the best class that there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fitness {
    /// Works and is within its limits.
    Fit,
    /// Works, but exceeds a limit.
    Avoided,
    /// Works again, but must wait: up delay, punishment.
    Waiting,
    /// Works, but loses much.
    Lossy,
    /// Not proven yet.
    Trial,
    /// Does not work or is not allowed.
    Unusable,
}

/// What a policy knows of a path.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// Its name.
    pub id: PathId,
    /// Its interface.
    pub link: String,
    /// Its hardware address, if it has one.
    pub hardware_address: Option<MacAddress>,
    /// What distinguishes paths of one link that are worth using side by side: the remote IP address.
    pub destination: String,
    /// What the link is for.
    pub mode: LinkMode,
    /// How fit it is.
    pub fitness: Fitness,
    /// Its IP version is the link's first choice, or the link has none.
    pub preferred: bool,
    /// 0..=1 against the best path.
    pub quality: f64,
    /// Smoothed one-way latency.
    pub latency: Option<Duration>,
    /// The least one-way latency so far: what no queue adds to.
    pub least_latency: Option<Duration>,
    /// Its deviation.
    pub variation: Duration,
    /// Declared speed.
    pub declared: Option<Speed>,
    /// The most that it shall be taken for, in bit/s.
    pub max_rate: Option<u64>,
    /// Measured capacity in bit/s.
    pub measured: Option<u64>,
    /// The capacity is no less than this many bit/s.
    pub reached: u64,
    /// Since when it is full.
    pub full_since: Option<Instant>,
    /// It is full, or may be by its latest answer.
    pub queues: bool,
    /// It is part of the plan in force.
    pub is_used: bool,
    /// What it carries costs, as either end says.
    pub is_metered: bool,
    /// Declared share.
    pub allocation: Option<f64>,
    /// Bits per second that leave on it.
    pub sent_rate: f64,
    /// The link that takes over, by its entry.
    pub failover_to: Option<String>,
}

impl View {
    /// They differ in ports alone: what fails, fits or is to be left is the same for both.
    pub(crate) fn shares_wire(&self, other: &Self) -> bool {
        (&self.link, &self.destination) == (&other.link, &other.destination)
    }

    /// What placing flows needs of it.
    pub fn lane(&self) -> Lane {
        let declared = match self.declared {
            Some(Speed::BitsPerSecond(bits)) => Some(bits),
            _ => None,
        };
        let capacity = declared.or(self.measured);
        Lane {
            path: self.id,
            capacity: capacity.map(|bits| bits as f64),
            is_unknown: self.measured.is_none()
                && self.declared.is_none()
                && self.allocation.is_none(),
            full_since: self.full_since,
            queues: self.queues,
            rate: self.sent_rate,
        }
    }
}

/// The paths to use side by side: of the best fitness; primary links before secondary before spare ones, with `overflow`
/// primary and secondary ones together; of each link one path per remote address, and of the preferred IP version.
pub fn candidates(views: &[View], overflow: bool) -> Vec<&View> {
    let usable = |view: &&View| view.fitness != Fitness::Unusable && view.mode != LinkMode::Never;
    let rank = |view: &View| {
        let mode = match view.mode {
            LinkMode::Secondary if overflow => LinkMode::Primary,
            mode => mode,
        };
        (view.fitness, mode)
    };
    let Some(best) = views.iter().filter(usable).map(rank).min() else {
        return Vec::new();
    };
    one_per_destination(
        views
            .iter()
            .filter(usable)
            .filter(|view| rank(view) == best),
    )
}

/// Of each link the preferred IP version, and one path per remote address: the best, or of equals the one in use, or the
/// oldest.
pub fn one_per_destination<'a>(views: impl Iterator<Item = &'a View> + Clone) -> Vec<&'a View> {
    let mut preferred: BTreeMap<&str, bool> = BTreeMap::new();
    for view in views.clone() {
        *preferred.entry(&view.link).or_default() |= view.preferred;
    }
    let mut chosen: BTreeMap<(&str, &str), &View> = BTreeMap::new();
    for view in views.filter(|view| view.preferred || !preferred[view.link.as_str()]) {
        chosen
            .entry((&view.link, &view.destination))
            // Paths that differ in ports alone are one wire: the one that is used stays, so that nothing moves without
            // cause, else the oldest.
            .and_modify(|old| {
                let rank = |view: &View| (view.fitness, !view.is_used, view.id);
                if rank(view) < rank(old) {
                    *old = view;
                }
            })
            .or_insert(view);
    }
    let mut chosen: Vec<_> = chosen.into_values().collect();
    chosen.sort_by_key(|view| view.id);
    chosen
}

/// The primary links are more than 80 % full; once they were, until they are less than 60 % full.
pub fn overflows(views: &[View], before: bool) -> bool {
    let primaries = candidates(views, false);
    let (mut capacity, mut rate) = (0.0, 0.0);
    for view in &primaries {
        if view.mode != LinkMode::Primary {
            return false;
        }
        let known = match view.declared {
            Some(Speed::BitsPerSecond(bits)) => bits,
            _ => match view.measured {
                Some(bits) => bits,
                None => match view.max_rate {
                    Some(most) => most,
                    None => return false,
                },
            },
        };
        let known = known.min(view.max_rate.unwrap_or(u64::MAX));
        capacity += known as f64;
        rate += view.sent_rate;
    }
    capacity > 0.0 && rate > capacity * if before { 0.6 } else { 0.8 }
}

#[cfg(test)]
pub(crate) fn view(id: u32, link: &str) -> View {
    View {
        id: PathId(id),
        link: link.to_owned(),
        hardware_address: None,
        destination: "10.0.0.1".to_owned(),
        mode: LinkMode::Primary,
        fitness: Fitness::Fit,
        preferred: true,
        quality: 1.0,
        latency: Some(Duration::from_millis(10)),
        least_latency: Some(Duration::from_millis(10)),
        variation: Duration::from_millis(1),
        declared: None,
        max_rate: None,
        measured: None,
        reached: 0,
        full_since: None,
        queues: false,
        is_used: false,
        is_metered: false,
        allocation: None,
        sent_rate: 0.0,
        failover_to: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(views: &[View], overflow: bool) -> Vec<u32> {
        candidates(views, overflow)
            .iter()
            .map(|view| view.id.0)
            .collect()
    }

    #[test]
    fn spares_carry_only_when_nothing_else_can() {
        let mut views = vec![view(1, "a"), view(2, "b"), view(3, "c")];
        views[1].mode = LinkMode::Secondary;
        views[2].mode = LinkMode::Spare;
        assert_eq!(ids(&views, false), [1]);
        assert_eq!(ids(&views, true), [1, 2]);
        views[0].fitness = Fitness::Unusable;
        assert_eq!(ids(&views, false), [2]);
        views[1].fitness = Fitness::Avoided;
        assert_eq!(ids(&views, false), [3]);
    }

    /// Finding 11: several ports to one address over one interface are one link.
    #[test]
    fn finding_11_ports_do_not_multiply_links() {
        let mut views: Vec<_> = (0..12)
            .map(|index| view(index, ["wan1", "wan2", "wan3"][index as usize / 4]))
            .collect();
        assert_eq!(ids(&views, false), [0, 4, 8]);
        // A second address of the peer is another path of the same link.
        views[5].destination = "10.0.0.2".to_owned();
        assert_eq!(ids(&views, false), [0, 4, 5, 8]);
    }

    #[test]
    fn preferred_ip_version_goes_first_and_the_other_one_stands_in() {
        let mut views = vec![view(1, "a"), view(2, "a")];
        views[0].preferred = false;
        views[1].destination = "fd00::1".to_owned();
        assert_eq!(ids(&views, false), [2]);
        views[1].fitness = Fitness::Unusable;
        assert_eq!(ids(&views, false), [1]);
    }

    #[test]
    fn primary_links_overflow_at_80_percent_and_until_60() {
        let mut views = vec![view(1, "a")];
        assert!(!overflows(&views, false));
        views[0].declared = Some(Speed::BitsPerSecond(1000));
        views[0].sent_rate = 700.0;
        assert!(!overflows(&views, false) && overflows(&views, true));
        views[0].sent_rate = 801.0;
        assert!(overflows(&views, false));
    }
}
