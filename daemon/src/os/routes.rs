//! Routes through a network's device, by netlink (service specification E.3).

use std::net::IpAddr;

use anyhow::{Context, Result};
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};

use super::interfaces::{Netlink, ignore_errno};
use super::managed::DeviceRoute;

/// Metric of managed routes: a physical route for the same destination goes first.
const METRIC: u32 = 5000;

impl Netlink {
    /// Installs a route. True if it was not there before.
    pub async fn add_route(&self, index: u32, route: DeviceRoute) -> Result<()> {
        let added = self
            .handle()
            .route()
            .add(message(index, route))
            .execute()
            .await;
        ignore_errno(added, rustix::io::Errno::EXIST)
            .with_context(|| format!("cannot add the route to {}", route.target))
    }

    /// Removes a route.
    pub async fn remove_route(&self, index: u32, route: DeviceRoute) -> Result<()> {
        let removed = self
            .handle()
            .route()
            .del(message(index, route))
            .execute()
            .await;
        ignore_errno(removed, rustix::io::Errno::SRCH)
            .with_context(|| format!("cannot remove the route to {}", route.target))
    }
}

fn message(index: u32, route: DeviceRoute) -> RouteMessage {
    let scope = match route.via {
        Some(_) => RouteScope::Universe,
        None => RouteScope::Link,
    };
    match route.target.ip {
        IpAddr::V4(target) => {
            let mut builder = RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(target, route.target.bits)
                .output_interface(index)
                .priority(METRIC)
                .scope(scope);
            if let Some(IpAddr::V4(via)) = route.via {
                builder = builder.gateway(via);
            }
            if let Some(IpAddr::V4(source)) = route.source {
                builder = builder.pref_source(source);
            }
            builder.build()
        }
        IpAddr::V6(target) => {
            // IPv6 knows no scopes of routes.
            let mut builder = RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(target, route.target.bits)
                .output_interface(index)
                .priority(METRIC);
            if let Some(IpAddr::V6(via)) = route.via {
                builder = builder.gateway(via);
            }
            if let Some(IpAddr::V6(source)) = route.source {
                builder = builder.pref_source(source);
            }
            builder.build()
        }
    }
}
