//! Interfaces and their addresses, by netlink.

use std::net::IpAddr;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};
use protocol::{IpPrefix, MacAddress};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, MulticastGroup, new_connection, new_multicast_connection};
use tokio::sync::mpsc;

/// An address on an interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct InterfaceAddress {
    /// Interface number.
    pub index: u32,
    /// Interface name.
    pub interface: String,
    /// Address and prefix length.
    pub address: IpPrefix,
    /// A temporary address of IPv6 (RFC 8981).
    pub temporary: bool,
    /// Not usable yet: duplicate address detection runs, or failed.
    pub tentative: bool,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Interface number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address, if it has one.
    pub hardware_address: Option<MacAddress>,
    /// It is switched on and has carrier.
    pub carrier: bool,
}

/// What there is, read at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// All interfaces.
    pub interfaces: Vec<Interface>,
    /// All addresses of all interfaces, sorted.
    pub addresses: Vec<InterfaceAddress>,
}

/// A connection to the kernel. Its tasks run on the current tokio runtime.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Connects.
    pub fn connect() -> Result<Self> {
        let (connection, handle, _) = new_connection().context("cannot open a netlink socket")?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// All addresses of all interfaces, sorted.
    pub async fn addresses(&self) -> Result<Vec<InterfaceAddress>> {
        Ok(self.survey().await?.addresses)
    }

    /// All interfaces and their addresses.
    pub async fn survey(&self) -> Result<Survey> {
        let links: Vec<_> = self.handle.link().get().execute().try_collect().await?;
        let interfaces: Vec<_> = links.iter().filter_map(read_interface).collect();
        let name_of = |index: u32| {
            let interface = interfaces.iter().find(|other| other.index == index)?;
            Some(interface.name.clone())
        };
        let messages: Vec<_> = self.handle.address().get().execute().try_collect().await?;
        let mut addresses: Vec<_> = messages
            .iter()
            .filter_map(|message| read_address(message, &name_of))
            .collect();
        addresses.sort();
        Ok(Survey {
            interfaces,
            addresses,
        })
    }

    /// Puts an address on an interface. It is usable at once: the controller vouches for its uniqueness.
    pub async fn add_address(&self, index: u32, address: IpPrefix) -> Result<()> {
        let mut request = self.handle.address().add(index, address.ip, address.bits);
        if address.ip.is_ipv6() {
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        let added = request.execute().await;
        ignore_errno(added, rustix::io::Errno::EXIST)
            .with_context(|| format!("cannot add address {address}"))
    }

    /// Takes an address from an interface.
    pub async fn remove_address(&self, index: u32, address: IpPrefix) -> Result<()> {
        // The builder of an addition makes just the message that names one address.
        let message = self
            .handle
            .address()
            .add(index, address.ip, address.bits)
            .message_mut()
            .clone();
        let removed = self.handle.address().del(message).execute().await;
        ignore_errno(removed, rustix::io::Errno::ADDRNOTAVAIL)
            .with_context(|| format!("cannot remove address {address}"))
    }
}

/// Bells that ring when something changes; they fall silent if the connection to the kernel is lost.
#[derive(Debug)]
pub struct Changes {
    /// Interfaces and addresses.
    pub interfaces: mpsc::Receiver<()>,
    /// Routes.
    pub routes: mpsc::Receiver<()>,
}

/// Listens to the kernel.
pub fn watch_changes() -> Result<Changes> {
    let interfaces = watch(&[
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
    ])?;
    let routes = watch(&[MulticastGroup::Ipv4Route, MulticastGroup::Ipv6Route])?;
    Ok(Changes { interfaces, routes })
}

fn watch(groups: &[MulticastGroup]) -> Result<mpsc::Receiver<()>> {
    let (connection, handle, mut messages) =
        new_multicast_connection(groups).context("cannot listen to netlink")?;
    tokio::spawn(connection);
    let (bell, changes) = mpsc::channel(1);
    tokio::spawn(async move {
        let _keep = handle;
        while messages.next().await.is_some() {
            // Full: somebody will look anyway.
            if let Err(mpsc::error::TrySendError::Closed(())) = bell.try_send(()) {
                break;
            }
        }
    });
    Ok(changes)
}

/// Success if the kernel says that there was nothing to do.
pub(super) fn ignore_errno(
    result: Result<(), rtnetlink::Error>,
    ignored: rustix::io::Errno,
) -> Result<(), rtnetlink::Error> {
    match result {
        Err(rtnetlink::Error::NetlinkError(message))
            if message.raw_code() == -ignored.raw_os_error() =>
        {
            Ok(())
        }
        other => other,
    }
}

fn read_interface(message: &LinkMessage) -> Option<Interface> {
    let mut name = None;
    let mut hardware_address = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => {
                // Tunnels have IP addresses there, and the loopback interface zeros.
                let address = bytes.as_slice().try_into().ok().map(MacAddress);
                hardware_address = address.filter(|address| !address.is_zero());
            }
            _ => {}
        }
    }
    let flags = message.header.flags;
    Some(Interface {
        index: message.header.index,
        name: name?,
        hardware_address,
        carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
    })
}

fn read_address(
    message: &AddressMessage,
    name_of: &impl Fn(u32) -> Option<String>,
) -> Option<InterfaceAddress> {
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let mut local = None;
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // On point-to-point interfaces `Address` is the other end.
    let ip: IpAddr = local.or(address)?;
    // Bit 0 means "temporary" with IPv6 and "secondary" with IPv4.
    let temporary = ip.is_ipv6() && flags.contains(AddressFlags::Secondary);
    Some(InterfaceAddress {
        index: message.header.index,
        interface: name_of(message.header.index)?,
        address: IpPrefix {
            ip,
            bits: message.header.prefix_len,
        },
        temporary,
        tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
            && !flags.contains(AddressFlags::Nodad),
    })
}
