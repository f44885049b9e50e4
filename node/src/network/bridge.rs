//! Which MAC addresses are behind which active bridge (protocol specification 10.5).

use std::collections::BTreeMap;

use protocol::{Address, MacAddress};

use super::limits::MAX_BRIDGE_ROUTES;

/// Learned routes of one network. Routes do not age: a later frame moves them.
#[derive(Default, Debug)]
pub(super) struct BridgeRoutes {
    routes: BTreeMap<MacAddress, Address>,
}

impl BridgeRoutes {
    /// A frame from `mac` came through `bridge`.
    pub(super) fn learn(&mut self, mac: MacAddress, bridge: Address) {
        self.routes.insert(mac, bridge);
        while self.routes.len() > MAX_BRIDGE_ROUTES {
            // The bridge with most entries pays: it is the one that overflows the table.
            let mut counts = BTreeMap::<Address, usize>::new();
            for bridge in self.routes.values() {
                *counts.entry(*bridge).or_default() += 1;
            }
            let Some((worst, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else {
                return;
            };
            self.routes.retain(|_, bridge| *bridge != worst);
        }
    }

    /// The bridge in front of `mac`.
    pub(super) fn find(&self, mac: MacAddress) -> Option<Address> {
        self.routes.get(&mac).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_that_overflows_the_table_loses_its_routes() {
        let mut routes = BridgeRoutes::default();
        let (small, large) = (Address::from_u64(1), Address::from_u64(2));
        routes.learn(MacAddress([2, 0, 0, 0, 0, 1]), small);
        for n in 0..MAX_BRIDGE_ROUTES as u32 {
            let [a, b, c, d] = n.to_be_bytes();
            routes.learn(MacAddress([6, 0, a, b, c, d]), large);
        }
        assert_eq!(routes.find(MacAddress([2, 0, 0, 0, 0, 1])), Some(small));
        assert_eq!(routes.find(MacAddress([6, 0, 0, 0, 0, 7])), None);
    }
}
