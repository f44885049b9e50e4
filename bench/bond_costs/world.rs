//! One bond with three paths that work, driven by hand on virtual time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bond::plan::SLOTS;
use bond::{
    BasePolicy, Bond, LinkEvent, Output, PathId, PathInfo, PeerTraits, Plan, PolicySettings,
};
use protocol::{Address, Instant};

const PATHS: u32 = 3;
/// Between two looks.
const STEP: Duration = Duration::from_millis(100);
const ROUND_TRIP: Duration = Duration::from_millis(10);

/// A bond, and what is common to all.
pub(crate) struct World {
    pub(crate) bond: Bond,
    pub(crate) now: Instant,
    /// The plan as workers have it.
    pub(crate) published: Plan,
    token: u64,
}

impl World {
    pub(crate) fn new(settings: &Arc<PolicySettings>, number: u32) -> Self {
        let now = Instant::from_millis(1000);
        let traits = PeerTraits {
            is_stock: false,
            can_reorder: false,
        };
        let peer = Address::from_u64(0x10_0000_0000 + u64::from(number));
        let mut bond = Bond::new(Arc::clone(settings), peer, traits, now, u64::from(number));
        for path in 0..PATHS {
            let end = |host: u8| SocketAddr::from(([10, path as u8, 0, host], 9993));
            let info = PathInfo {
                id: PathId(path),
                interface: format!("wan{path}"),
                interface_mac: None,
                local: end(1),
                remote: end(2),
                link_up: true,
                confirmed: true,
            };
            bond.add_path(info, now);
        }
        let mut world = Self {
            bond,
            now,
            published: Plan::default(),
            token: 0,
        };
        world.poll();
        world
    }

    /// Does what the bond asks for; true if there is another plan.
    pub(crate) fn poll(&mut self) -> bool {
        let mut is_new = false;
        loop {
            match self.bond.poll(self.now) {
                Output::Timeout(_) => return is_new,
                Output::PlanChanged(plan) => {
                    self.published = plan.map(|path| u8::try_from(path.0).ok());
                    is_new = true;
                }
                Output::Probe(path) => {
                    self.token += 1;
                    self.bond.handle_probe_sent(path, self.token, self.now);
                    self.bond
                        .handle_probe_reply(path, self.token, self.now + ROUND_TRIP);
                }
                _ => {}
            }
        }
    }

    /// Traffic of many flows in both directions.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now = self.now + STEP;
            for path in (0..PATHS).map(PathId) {
                self.bond.handle_sent(path, 100, 100_000, self.now);
                self.bond.handle_received(path, 100, 100_000, self.now);
            }
            let bytes = (0..SLOTS).map(|slot| (slot, 290));
            self.bond.handle_slot_bytes(bytes, self.now);
            self.poll();
        }
    }

    /// The operating system announces that a path's carrier is lost, or back.
    pub(crate) fn carrier(&mut self, path: u32, is_up: bool) {
        let event = if is_up {
            LinkEvent::Up
        } else {
            LinkEvent::Down
        };
        self.bond.handle_link_event(PathId(path), event, self.now);
    }
}

/// balance-aware with all defaults.
pub(crate) fn aware() -> Arc<PolicySettings> {
    Arc::new(PolicySettings::standard(BasePolicy::BalanceAware))
}
