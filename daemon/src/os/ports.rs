//! The devices of joined networks, with their addresses and routes.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::{Dataplane, TapInfo, TapSettings};
use node::io::{Command, PortConfig};
use protocol::{IpPrefix, NetworkId};

use super::interfaces::{InterfaceAddress, Netlink};
use super::managed::{self, DeviceRoute};
use super::{device_name, multicast};
use crate::home::Permissions;

/// What the operating system holds of one network.
#[derive(Debug)]
struct Port {
    wish: PortConfig,
    permissions: Permissions,
    device: Option<TapInfo>,
    mtu: u16,
    /// Put there by us; others are the operator's.
    addresses: BTreeSet<IpPrefix>,
    routes: BTreeSet<DeviceRoute>,
    /// What the node was told last.
    reported: Option<(Vec<protocol::MulticastGroup>, Vec<IpPrefix>)>,
    reported_failure: bool,
}

/// All devices.
#[derive(Debug, Default)]
pub struct Ports {
    ports: BTreeMap<NetworkId, Port>,
}

impl Ports {
    /// A network's device shall look like `wish`.
    pub fn set_wish(&mut self, wish: PortConfig, permissions: Permissions) {
        match self.ports.get_mut(&wish.network) {
            Some(port) => {
                port.wish = wish;
                port.permissions = permissions;
            }
            None => {
                let port = Port {
                    mtu: wish.mtu,
                    permissions,
                    device: None,
                    addresses: BTreeSet::new(),
                    routes: BTreeSet::new(),
                    reported: None,
                    reported_failure: false,
                    wish,
                };
                self.ports.insert(port.wish.network, port);
            }
        }
    }

    /// The operator changed what a network may do.
    pub fn set_permissions(&mut self, network: NetworkId, permissions: Permissions) {
        if let Some(port) = self.ports.get_mut(&network) {
            port.permissions = permissions;
        }
    }

    /// Removes a network's device, and with it its addresses and routes.
    pub fn remove(&mut self, network: NetworkId, dataplane: &mut Dataplane) {
        if self.ports.remove(&network).is_some() {
            dataplane.remove_tap(network);
        }
    }

    /// All networks with a wish.
    pub fn networks(&self) -> Vec<NetworkId> {
        self.ports.keys().copied().collect()
    }

    /// Name of a network's device.
    pub fn device_name(&self, network: NetworkId) -> Option<&str> {
        let device = self.ports.get(&network)?.device.as_ref()?;
        Some(&device.name)
    }

    /// True if a network's device could not be made.
    pub fn has_failed(&self, network: NetworkId) -> bool {
        let port = self.ports.get(&network);
        port.is_some_and(|port| port.reported_failure)
    }

    /// Names of all our devices.
    pub fn device_names(&self) -> BTreeSet<String> {
        let devices = self.ports.values().filter_map(|port| port.device.as_ref());
        devices.map(|device| device.name.clone()).collect()
    }

    /// Makes a network's device look as wished. Gives what the node should know of it.
    pub async fn apply(
        &mut self,
        network: NetworkId,
        online: bool,
        devicemap: &str,
        netlink: &Netlink,
        dataplane: &mut Dataplane,
    ) -> Vec<Command> {
        let Some(port) = self.ports.get_mut(&network) else {
            return Vec::new();
        };
        let mut news = Vec::new();
        if port.device.is_none() {
            let failed = !port.create(devicemap, dataplane);
            if failed != port.reported_failure {
                port.reported_failure = failed;
                news.push(Command::PortFailed { network, failed });
            }
        }
        let Some(device) = port.device.clone() else {
            return news;
        };
        if port.mtu != port.wish.mtu {
            match dataplane.set_tap_mtu(network, port.wish.mtu) {
                Ok(()) => port.mtu = port.wish.mtu,
                Err(error) => tracing::warn!(%network, %error, "MTU not changed"),
            }
        }
        port.sync_addresses(&device, netlink).await;
        port.sync_routes(&device, online, netlink).await;
        match netlink.addresses().await {
            Ok(all) => news.extend(port.report(&all)),
            Err(error) => tracing::warn!(%network, "addresses not readable: {error:#}"),
        }
        news
    }

    /// What changed on our devices, by the operator's or the kernel's doing.
    pub fn scan(&mut self, all: &[InterfaceAddress]) -> Vec<Command> {
        self.ports
            .values_mut()
            .filter_map(|port| port.report(all))
            .collect()
    }
}

impl Port {
    fn create(&mut self, devicemap: &str, dataplane: &mut Dataplane) -> bool {
        let network = self.wish.network;
        let settings = TapSettings {
            name: device_name::choose(network, devicemap, device_name::exists),
            mtu: self.wish.mtu,
            mac: self.wish.mac,
        };
        match dataplane.add_tap(network, &settings) {
            Ok(device) => {
                tracing::info!(%network, device = device.name, "device created");
                self.mtu = self.wish.mtu;
                self.device = Some(device);
                true
            }
            Err(error) => {
                if !self.reported_failure {
                    tracing::error!(%network, %error, "no device for the network");
                }
                false
            }
        }
    }

    async fn sync_addresses(&mut self, device: &TapInfo, netlink: &Netlink) {
        let wanted: BTreeSet<IpPrefix> =
            managed::addresses(&self.permissions, &self.wish.addresses)
                .into_iter()
                .collect();
        for surplus in self
            .addresses
            .difference(&wanted)
            .copied()
            .collect::<Vec<_>>()
        {
            if let Err(error) = netlink.remove_address(device.index, surplus).await {
                tracing::warn!(device = device.name, "{error:#}");
            }
            self.addresses.remove(&surplus);
        }
        let present = match netlink.addresses().await {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!("addresses not readable: {error:#}");
                return;
            }
        };
        let on_device = || {
            present
                .iter()
                .filter(|address| address.index == device.index)
        };
        for address in wanted {
            if on_device().any(|there| there.address == address) {
                self.addresses.insert(address);
                continue;
            }
            // The same address with another prefix length is replaced.
            for other in on_device().filter(|there| there.address.ip == address.ip) {
                if let Err(error) = netlink.remove_address(device.index, other.address).await {
                    tracing::warn!(device = device.name, "{error:#}");
                }
            }
            match netlink.add_address(device.index, address).await {
                Ok(()) => {
                    self.addresses.insert(address);
                }
                Err(error) => tracing::warn!(device = device.name, "{error:#}"),
            }
        }
    }

    async fn sync_routes(&mut self, device: &TapInfo, online: bool, netlink: &Netlink) {
        let addresses: Vec<IpPrefix> = self.addresses.iter().copied().collect();
        let wanted = managed::routes(&self.permissions, &addresses, &self.wish.routes, online);
        let surplus: Vec<DeviceRoute> = self
            .routes
            .iter()
            .filter(|route| !wanted.contains(route))
            .copied()
            .collect();
        for route in surplus {
            if let Err(error) = netlink.remove_route(device.index, route).await {
                tracing::warn!(device = device.name, "{error:#}");
            }
            self.routes.remove(&route);
        }
        // Also the ones that should be there: something else may have taken them away.
        for route in wanted {
            match netlink.add_route(device.index, route).await {
                Ok(()) => {
                    self.routes.insert(route);
                }
                Err(error) => {
                    if self.routes.remove(&route) {
                        tracing::warn!(device = device.name, "{error:#}");
                    } else {
                        tracing::debug!(device = device.name, "{error:#}");
                    }
                }
            }
        }
    }

    fn report(&mut self, all: &[InterfaceAddress]) -> Option<Command> {
        let device = self.device.as_ref()?;
        let addresses: Vec<IpPrefix> = all
            .iter()
            .filter(|address| address.index == device.index)
            .map(|address| address.address)
            .collect();
        let listed = std::fs::read_to_string(multicast::DEV_MCAST).unwrap_or_default();
        let groups = multicast::groups(&listed, &device.name, &addresses);
        let state = (groups, addresses);
        if self.reported.as_ref() == Some(&state) {
            return None;
        }
        self.reported = Some(state.clone());
        Some(Command::PortState {
            network: self.wish.network,
            groups: state.0,
            addresses: state.1,
        })
    }
}
