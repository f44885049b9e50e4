//! What the settings say about one path.

use std::time::Duration;

use crate::config::{BasePolicy, IpPreference, LinkMode, LinkSettings, PolicySettings, Speed};
use crate::link_name;
use crate::path::PathInfo;

/// Towards a stock peer failures cannot be told faster: it answers few probes (protocol specification 15.6).
const STOCK_FAILOVER_INTERVAL: Duration = Duration::from_millis(500);

/// Why a path is refused whose link the settings do not name, while they name others.
const UNLISTED: &str = "not among the links";

/// The entry of a path's link, resolved.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rule {
    pub(crate) mode: LinkMode,
    /// Why the path may carry nothing.
    pub(crate) refused: Option<&'static str>,
    pub(crate) preferred: bool,
    pub(crate) failover_interval: Duration,
    pub(crate) up_delay: Duration,
    pub(crate) down_delay: Duration,
    pub(crate) failover_to: Option<String>,
    pub(crate) speed: Option<Speed>,
    /// From the peer.
    pub(crate) speed_down: Option<Speed>,
    pub(crate) allocation: Option<f64>,
    pub(crate) is_metered: bool,
    pub(crate) max_rate: Option<u64>,
    /// Limit of a UDP payload in bytes, if declared.
    pub(crate) mtu: Option<u16>,
}

impl Rule {
    /// With any links in the settings, a path without an entry is refused.
    pub(crate) fn resolve(path: &PathInfo, settings: &PolicySettings, peer_is_stock: bool) -> Self {
        let links = &settings.links;
        let entry = find(path, links);
        let interval = entry
            .and_then(|link| link.failover_interval)
            .unwrap_or(settings.failover_interval);
        let mut rule = Self {
            mode: LinkMode::Primary,
            refused: None,
            preferred: true,
            failover_interval: if peer_is_stock {
                interval.max(STOCK_FAILOVER_INTERVAL)
            } else {
                interval
            },
            up_delay: settings.up_delay,
            down_delay: settings.down_delay,
            failover_to: None,
            speed: None,
            speed_down: None,
            allocation: None,
            is_metered: false,
            max_rate: None,
            mtu: None,
        };
        let Some(link) = entry else {
            if !links.is_empty() {
                rule.refused = Some(UNLISTED);
            }
            return rule;
        };
        let is_v4 = path.remote.ip().to_canonical().is_ipv4();
        let ip_allowed = match link.ip_preference {
            IpPreference::OnlyV4 => is_v4,
            IpPreference::OnlyV6 => !is_v4,
            IpPreference::Any | IpPreference::V4First | IpPreference::V6First => true,
        };
        rule.mode = link.mode;
        rule.preferred = match link.ip_preference {
            IpPreference::V4First => is_v4,
            IpPreference::V6First => !is_v4,
            IpPreference::Any | IpPreference::OnlyV4 | IpPreference::OnlyV6 => true,
        };
        rule.refused = if !link.enabled {
            Some("disabled")
        } else if link.mode == LinkMode::Never {
            Some("mode never")
        } else if !ip_allowed {
            Some("IP version")
        } else if settings.base == BasePolicy::ActiveBackup && is_outside_rules(link, links) {
            Some("outside the failover rules")
        } else {
            None
        };
        rule.up_delay = link.up_delay.unwrap_or(rule.up_delay);
        rule.down_delay = link.down_delay.unwrap_or(rule.down_delay);
        rule.failover_to.clone_from(&link.failover_to);
        rule.speed = link.speed_up;
        rule.speed_down = link.speed_down;
        rule.allocation = link.allocation;
        rule.is_metered = link.cost > 0;
        rule.max_rate = link.max_rate;
        rule.mtu = link.mtu;
        rule
    }

    /// An entry of its own refuses the path.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.refused.is_some_and(|reason| reason != UNLISTED)
    }

    /// The link carried what its data cap allows.
    pub(crate) fn cap(&mut self) {
        match self.mode {
            LinkMode::Primary | LinkMode::Secondary => self.mode = LinkMode::Spare,
            LinkMode::Spare => self.refused = self.refused.or(Some("data cap")),
            LinkMode::Never => {}
        }
    }
}

/// The entry for a path: exact names go before hardware addresses before patterns.
pub(crate) fn find<'a>(path: &PathInfo, links: &'a [LinkSettings]) -> Option<&'a LinkSettings> {
    links
        .iter()
        .find(|link| link.name == path.interface)
        .or_else(|| {
            let mac = path.interface_mac?;
            links
                .iter()
                .find(|link| link_name::is_address_of(&link.name, mac))
        })
        .or_else(|| {
            links
                .iter()
                .find(|link| link_name::matches(&link.name, &path.interface))
        })
}

/// Failover rules are given, and neither does this link begin with traffic nor do they name it.
fn is_outside_rules(link: &LinkSettings, links: &[LinkSettings]) -> bool {
    let mut targets = links.iter().filter_map(|link| link.failover_to.as_deref());
    links.iter().any(|link| link.failover_to.is_some())
        && link.mode != LinkMode::Primary
        && link.failover_to.is_none()
        && !targets.any(|target| target == link.name || link_name::matches(&link.name, target))
}
