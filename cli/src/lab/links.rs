//! Links between hosts: bridges and veth pairs, over netlink. Each function acts in the calling thread's namespace.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

/// Runs one netlink conversation to its end in the calling thread's namespace.
fn netlink<T, F: Future<Output = Result<T, rtnetlink::Error>>>(
    conversation: impl FnOnce(Handle) -> F,
) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        conversation(handle).await.map_err(io::Error::other)
    })
}

/// The index of an interface.
fn index_of(name: &str) -> io::Result<u32> {
    let name = name.to_owned();
    netlink(|handle| async move {
        let mut links = handle.link().get().match_name(name).execute();
        Ok(links.try_next().await?.map(|link| link.header.index))
    })?
    .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such interface"))
}

/// Brings an interface up.
pub fn set_up(name: &str) -> io::Result<()> {
    let index = index_of(name)?;
    netlink(|handle| async move {
        handle
            .link()
            .set(LinkUnspec::new_with_index(index).up().build())
            .execute()
            .await
    })
}

/// Takes an interface down: its peer loses carrier.
pub fn set_down(name: &str) -> io::Result<()> {
    let index = index_of(name)?;
    netlink(|handle| async move {
        handle
            .link()
            .set(LinkUnspec::new_with_index(index).down().build())
            .execute()
            .await
    })
}

/// Makes a bridge that is up.
pub fn add_bridge(name: &str) -> io::Result<()> {
    let message = LinkBridge::new(name).build();
    netlink(|handle| async move { handle.link().add(message).execute().await })
        .map_err(|error| io::Error::new(error.kind(), format!("cannot make a bridge: {error}")))?;
    set_up(name)
}

/// Makes a veth pair from `bridge` here to an interface `inside` in another namespace.
pub fn plug_in(
    bridge: &str,
    port: &str,
    inside: &str,
    namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let temporary = format!("{port}p");
    let message = LinkVeth::new(port, &temporary).build();
    netlink(|handle| async move { handle.link().add(message).execute().await })?;
    let (bridge, near, far) = (index_of(bridge)?, index_of(port)?, index_of(&temporary)?);
    let moved = LinkUnspec::new_with_index(far)
        .name(inside)
        .setns_by_fd(namespace.as_raw_fd())
        .build();
    let attached = LinkUnspec::new_with_index(near)
        .controller(bridge)
        .up()
        .build();
    netlink(|handle| async move {
        handle.link().set(moved).execute().await?;
        handle.link().set(attached).execute().await
    })
}

/// Gives an interface an address and brings it up.
pub fn add_address(interface: &str, address: IpAddr, prefix_length: u8) -> io::Result<()> {
    let index = index_of(interface)?;
    netlink(|handle| async move {
        handle
            .address()
            .add(index, address, prefix_length)
            .execute()
            .await
    })?;
    set_up(interface)
}

/// Takes an address away from an interface, and with it the routes that it brought.
pub fn remove_address(interface: &str, address: IpAddr) -> io::Result<()> {
    let index = index_of(interface)?;
    netlink(|handle| async move {
        let mut found = handle
            .address()
            .get()
            .set_link_index_filter(index)
            .set_address_filter(address)
            .execute();
        while let Some(message) = found.try_next().await? {
            handle.address().del(message).execute().await?;
        }
        Ok(())
    })
}

/// Adds the route to the network of an address of an interface, as the kernel did together with the address.
pub fn add_route(interface: &str, address: Ipv4Addr, prefix_length: u8) -> io::Result<()> {
    let route = route(index_of(interface)?, address, prefix_length);
    netlink(|handle| async move { handle.route().add(route).execute().await })
}

/// Removes that route; the address stays.
pub fn remove_route(interface: &str, address: Ipv4Addr, prefix_length: u8) -> io::Result<()> {
    let route = route(index_of(interface)?, address, prefix_length);
    netlink(|handle| async move { handle.route().del(route).execute().await })
}

fn route(index: u32, address: Ipv4Addr, prefix_length: u8) -> RouteMessage {
    let hosts = u32::MAX.checked_shr(prefix_length.into()).unwrap_or(0);
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(Ipv4Addr::from(u32::from(address) & !hosts), prefix_length)
        .output_interface(index)
        .pref_source(address)
        .protocol(RouteProtocol::Kernel)
        .scope(RouteScope::Link)
        .build()
}

/// Keeps the hardware address to which an address is resolved now: the kernel does not ask for it again.
pub fn keep_neighbour(address: Ipv4Addr) -> io::Result<()> {
    let is_wanted = |message: &NeighbourMessage| {
        let wanted = NeighbourAttribute::Destination(NeighbourAddress::Inet(address));
        message.attributes.contains(&wanted)
    };
    let found = netlink(|handle| async move {
        let neighbours: Vec<_> = handle.neighbours().get().execute().try_collect().await?;
        Ok(neighbours.into_iter().find(is_wanted))
    })?;
    let (index, hardware_address) = found
        .and_then(|message| {
            let index = message.header.ifindex;
            let found = message
                .attributes
                .into_iter()
                .find_map(|attribute| match attribute {
                    NeighbourAttribute::LinkLayerAddress(bytes) => Some(bytes),
                    _ => None,
                });
            found.map(|bytes| (index, bytes))
        })
        .ok_or_else(|| {
            let text = format!("no hardware address is known for {address}");
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
    netlink(|handle| async move {
        // As permanent as that, unless another state is asked for.
        handle
            .neighbours()
            .add(index, address.into())
            .link_layer_address(&hardware_address)
            .replace()
            .execute()
            .await
    })
}

/// Deletes an interface, and a veth's other end with it.
pub fn delete(name: &str) -> io::Result<()> {
    let index = index_of(name)?;
    netlink(|handle| async move { handle.link().del(index).execute().await })
}

/// The hardware address of an interface, with colons.
pub fn hardware_address(interface: &str) -> io::Result<String> {
    let name = interface.to_owned();
    let link = netlink(|handle| async move {
        let mut links = handle.link().get().match_name(name).execute();
        links.try_next().await
    })?;
    let attributes = link.map(|link| link.attributes).unwrap_or_default();
    attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => Some(bytes),
            _ => None,
        })
        .map(|bytes| {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            bytes.join(":")
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no hardware address"))
}

/// Takes a port out of its bridge: nothing passes it any more, yet both ends keep their carrier (a black hole).
pub fn blackhole(port: &str) -> io::Result<()> {
    let index = index_of(port)?;
    netlink(|handle| async move {
        let detached = LinkUnspec::new_with_index(index).nocontroller().build();
        handle.link().set(detached).execute().await
    })
}

/// Undoes [`blackhole`]: puts a port back into its bridge.
pub fn restore(port: &str, bridge: &str) -> io::Result<()> {
    let (bridge, port) = (index_of(bridge)?, index_of(port)?);
    netlink(|handle| async move {
        let attached = LinkUnspec::new_with_index(port).controller(bridge).build();
        handle.link().set(attached).execute().await
    })
}

/// Bytes that have left by an interface so far.
pub fn sent_bytes(interface: &str) -> io::Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    sent_bytes_in(&table, interface)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no counters of the interface"))
}

/// Reads proc_pid_net(5)'s table of devices: the ninth number is what was sent.
fn sent_bytes_in(table: &str, interface: &str) -> Option<u64> {
    let (_, numbers) = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == interface)?;
    numbers.split_ascii_whitespace().nth(8)?.parse().ok()
}

/// Bytes that have been sent into networks so far: by all devices of hawserd's and zerotier-one's naming together.
pub fn sent_into_networks() -> io::Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    Ok(sent_into_networks_in(&table))
}

fn sent_into_networks_in(table: &str) -> u64 {
    let names = table.lines().filter_map(|line| line.split_once(':'));
    let networks = names
        .map(|(name, _)| name.trim())
        .filter(|name| name.starts_with("zt"));
    networks.filter_map(|name| sent_bytes_in(table, name)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_networks_count() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n\
                     \x20 eth1:  10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\nztabc:30 1 0 0 0 0 0 0 40 2 0 0 0 0 0 0\n\
                     ztdef:  10 1 0 0 0 0 0 0 5 2 0 0 0 0 0 0\n";
        assert_eq!(sent_into_networks_in(table), 45);
    }

    #[test]
    fn counters_are_found_by_the_whole_name() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n\
                     \x20 eth1:  10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\neth10:30 1 0 0 0 0 0 0 40 2 0 0 0 0 0 0\n";
        assert_eq!(sent_bytes_in(table, "eth1"), Some(20));
        assert_eq!(sent_bytes_in(table, "eth10"), Some(40));
        assert_eq!(sent_bytes_in(table, "eth"), None);
    }
}
