//! What is looked at from time to time (service specification A.3 step 17).

use std::path::Path;
use std::time::{Duration, SystemTime};

use node::Input;
use node::io::Command;
use protocol::WallClock;
use rand::RngExt;

use super::{Control, system_millis};
use crate::api::access::Access;
use crate::api::metrics;
use crate::local_conf::{self, LocalConf};
use crate::os::links::{Selection, select};

/// A wall clock that is off by more than this was set.
const CLOCK_TOLERANCE_MS: u64 = 1000;
/// Without upstreams for this long, another secondary port is tried.
const PATIENCE_OFFLINE: Duration = Duration::from_secs(120);
/// Ports for sockets that have no configured one.
pub const RANDOM_PORTS: std::ops::Range<u16> = 20_000..65_500;

/// What tells one content of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileStamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl FileStamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
        })
    }
}

impl Control {
    pub(super) async fn each_5_seconds(&mut self) {
        self.scan_ports().await;
        self.watch_usage().await;
        self.write_metrics();
    }

    /// For collectors that read text files.
    pub(super) fn write_metrics(&self) {
        let page = metrics::render(&self.metrics());
        if let Err(error) = self.home.write_volatile("metrics.prom", page.as_bytes()) {
            tracing::debug!("{error:#}");
        }
    }

    pub(super) async fn each_10_seconds(&mut self) {
        self.check_clock().await;
        let stamp = FileStamp::of(&self.home.path(local_conf::FILE));
        if stamp != self.conf_seen {
            self.reload_conf().await;
        }
    }

    pub(super) async fn each_30_seconds(&mut self) {
        let now = self.clock.now();
        if !self.online && now.duration_since(self.offline_since) > PATIENCE_OFFLINE {
            self.change_secondary_port("offline for long");
            self.offline_since = now;
        }
        self.write_usage();
        self.rescan_links().await;
        self.dirty_ports.extend(self.ports.networks());
        self.settle().await;
    }

    /// The machine slept, or this process did: addresses, clock and the state of NAT routers may be others by now.
    pub(super) async fn wake_up(&mut self) {
        tracing::info!("woken from sleep, looking at clock, addresses and ports again");
        self.change_secondary_port("woken from sleep");
        self.check_clock().await;
        self.rescan_links().await;
        self.dirty_ports.extend(self.ports.networks());
        self.settle().await;
    }

    /// A NAT router may hold a useless mapping for the old port. Links follow at the next scan.
    fn change_secondary_port(&mut self, reason: &str) {
        // Whether there is one at all was settled at the start.
        if self.secondary_port.is_some() && self.conf.settings.secondary_port == 0 {
            let port = rand::rng().random_range(RANDOM_PORTS);
            tracing::info!(port, reason, "another secondary port");
            self.secondary_port = Some(port);
        }
    }

    async fn check_clock(&mut self) {
        let now = self.clock.now();
        let system = system_millis();
        if self.wall.at(now).abs_diff(system) > CLOCK_TOLERANCE_MS {
            self.wall = WallClock::new(now, system);
            self.command(Command::SetWallClock(self.wall)).await;
        }
    }

    /// Opens and closes sockets as the machine's addresses want it.
    pub(super) async fn rescan_links(&mut self) {
        let survey = match self.netlink.survey().await {
            Ok(survey) => survey,
            Err(error) => {
                tracing::warn!("addresses not readable: {error:#}");
                return;
            }
        };
        let ports = [
            Some(self.primary_port),
            self.secondary_port,
            self.tertiary_port,
        ];
        let ports: Vec<u16> = ports.into_iter().flatten().collect();
        let own_devices = self.ports.device_names();
        let settings = &self.conf.settings;
        let wanted = select(
            &survey.addresses,
            Selection {
                ports: &ports,
                excluded_prefixes: &settings.interface_prefix_blacklist,
                own_devices: &own_devices,
                only: &settings.bind,
                physical: &self.conf.core.physical,
            },
        );
        let interfaces = &survey.interfaces;
        if self
            .links
            .reconcile(&wanted, interfaces, &mut self.dataplane)
        {
            let links = self.links.all();
            self.command(Command::SetLinks(links)).await;
        }
    }

    /// Tells the node of addresses and groups on its devices that have come or gone.
    pub(super) async fn scan_ports(&mut self) {
        let Ok(addresses) = self.netlink.addresses().await else {
            return;
        };
        let now = self.clock.now();
        for command in self.ports.scan(&addresses) {
            self.node.handle(now, Input::Command(command));
        }
        self.settle().await;
    }

    /// Reads local.conf again. A file that cannot be read changes nothing: a slip of the editor must not cut the
    /// operator off.
    pub(super) async fn reload_conf(&mut self) {
        self.conf_seen = FileStamp::of(&self.home.path(local_conf::FILE));
        let conf = match LocalConf::load(&self.home) {
            Ok(conf) => conf,
            Err(error) => {
                tracing::error!("{error:#}; the settings stay as they were");
                // The file's name stands beside it.
                let reasons: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
                self.note_unreadable_conf(format!(
                    "{}; the settings stay as they were",
                    reasons.join(": ")
                ));
                return;
            }
        };
        self.conf_problem = None;
        for warning in &conf.warnings {
            tracing::warn!("{}: {warning}", local_conf::FILE);
        }
        self.conf = conf;
        let management = self.conf.settings.allow_management_from.clone();
        let access = Access {
            management,
            ..Access::clone(&self.access.load())
        };
        self.access.store(access.into());
        let config = self.core_config();
        self.command(Command::Configure(Box::new(config))).await;
        self.load_bonding().await;
        self.rescan_links().await;
    }
}
