//! A file about this node, for those who help its owner.

use std::fmt::Write;

use super::Answer;
use crate::client::Request;
use crate::outcome::Outcome;
use crate::session::{Session, cannot_connect};
use crate::{Manner, version};

const FILE: &str = "zerotier_dump.txt";

/// `dump`: writes into the current directory.
pub(super) fn dump(session: &Session<'_>) -> Answer {
    let mut text = format!("platform: Linux\nzerotier version: {}\n", version());
    for (title, path) in [
        ("status", "/status"),
        ("networks", "/network"),
        ("peers", "/peer"),
    ] {
        section(&mut text, title, &read(session, path)?);
    }
    let configuration = session.service.home.join("local.conf");
    let configuration =
        std::fs::read_to_string(configuration).unwrap_or_else(|_| "None Present".to_owned());
    section(&mut text, "local.conf", &configuration);
    section(&mut text, "Network Interfaces", &interfaces());

    let path = std::env::current_dir().unwrap_or_default().join(FILE);
    match std::fs::write(&path, text) {
        Ok(()) => Ok(Outcome::ok(format!(
            "Writing dump to: {}\n",
            path.display()
        ))),
        Err(error) => Err(match session.manner {
            Manner::Original => Outcome::to_stdout(
                1,
                format!(
                    "Writing dump to: {}\nError creating file.\n",
                    path.display()
                ),
            ),
            Manner::Hawser => session.failure(&format!("cannot write {}: {error}", path.display())),
        }),
    }
}

/// A body as it is. The original has one message for all that can go wrong.
fn read(session: &Session<'_>, path: &str) -> Result<String, Outcome> {
    match session.manner {
        Manner::Hawser => Ok(session.write(Request::Get, path)?.body),
        Manner::Original => match session.send(Request::Get, path) {
            Ok(reply) if reply.status == 200 => Ok(reply.body),
            Ok(reply) => Err(Outcome::to_stdout(1, cannot_connect(&reply.body))),
            Err(_) => Err(Outcome::to_stdout(1, cannot_connect("connection failed"))),
        },
    }
}

fn section(text: &mut String, title: &str, content: &str) {
    let underline = "-".repeat(title.len());
    // Writing to a string does not fail.
    let _ = writeln!(text, "\n{title}\n{underline}\n{}", content.trim_end());
}

/// Interfaces with an IPv4 address, without the loopback.
fn interfaces() -> String {
    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::InterfaceFlags;

    let Ok(addresses) = getifaddrs() else {
        return "None readable".to_owned();
    };
    let mut interfaces: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    for address in addresses {
        let ip = address
            .address
            .as_ref()
            .and_then(|storage| storage.as_sockaddr_in())
            .map(|ipv4| ipv4.ip().to_string());
        if let Some(ip) = ip
            && !address.flags.contains(InterfaceFlags::IFF_LOOPBACK)
        {
            interfaces
                .entry(address.interface_name)
                .or_default()
                .push(ip);
        }
    }
    let mut text = String::new();
    for (name, addresses) in interfaces {
        let attribute = |file: &str| {
            // Aliases such as eth0:1 share their interface's attributes.
            let device = name.split(':').next().unwrap_or(&name);
            std::fs::read_to_string(format!("/sys/class/net/{device}/{file}"))
                .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
        };
        let _ = writeln!(
            text,
            "Name: {name}\nMTU: {}\nMAC: {}\nAddresses: {}\n",
            attribute("mtu"),
            attribute("address"),
            addresses.join(", ")
        );
    }
    text
}
