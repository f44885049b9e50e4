//! The lab's world: a root, a controller and members, each on its own host, joined by one or more switches.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::world::{World, WorldKind};
use protocol::{Address, NetworkId, SecretIdentity};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::daemon::{Daemon, PORT};
use super::host::Host;
use super::links;

/// World id of the lab's private planet.
const PLANET_ID: u64 = 0x4841_5753_4552;

/// The root is host 1, the controller host 2, then come the members.
const FIRST_MEMBER: u8 = 3;

/// What to build.
#[derive(Clone, Debug)]
pub struct LabConfig {
    /// Switches; every host has an interface at each: `eth0`, `eth1`, …
    pub links: u8,
    /// The daemon to run as root.
    pub root: PathBuf,
    /// The daemon to run as network controller.
    pub controller: PathBuf,
    /// The daemons to run as members, one each.
    pub members: Vec<PathBuf>,
    /// Where home directories go.
    pub folder: PathBuf,
}

/// A running world.
pub struct Lab {
    /// The root.
    pub root: Daemon,
    /// The controller.
    pub controller: Daemon,
    /// The members.
    pub members: Vec<Daemon>,
    network: Option<NetworkId>,
}

/// Address of a host (1…) at a switch (0…).
pub fn underlay_address(link: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, link, host)
}

/// Name that every host has for its interface at a switch (0…).
pub fn interface_name(link: u8) -> String {
    format!("eth{link}")
}

/// Number of a member (0…) among the hosts.
pub fn host_of_member(member: u8) -> u8 {
    FIRST_MEMBER + member
}

fn bridge_name(link: u8) -> String {
    format!("switch{link}")
}

/// The switch's end of the cable to a host (1…).
fn port_name(host: u8, link: u8) -> String {
    format!("h{host}l{link}")
}

impl Lab {
    /// Makes the hosts, plugs them into the switches, and prepares the daemons. Nothing runs yet.
    pub fn build(config: &LabConfig) -> io::Result<Self> {
        for link in 0..config.links {
            links::add_bridge(&bridge_name(link))?;
        }
        let mut random = StdRng::from_seed(seed()?);
        let root_identity = SecretIdentity::generate(&mut random);
        let endpoints = (0..config.links)
            .map(|link| SocketAddr::from((underlay_address(link, 1), PORT)))
            .collect();
        let planet = World::of_root(
            WorldKind::Planet,
            PLANET_ID,
            wall_clock_ms(),
            &root_identity,
            endpoints,
        );
        let place = |number: u8, name: &str, program: &PathBuf, identity| {
            let host = Arc::new(connect(name, number, config.links)?);
            Daemon::prepare(host, program, &config.folder, identity, &planet)
        };
        let root = place(1, "root", &config.root, root_identity)?;
        let controller = place(
            2,
            "controller",
            &config.controller,
            SecretIdentity::generate(&mut random),
        )?;
        let members = (FIRST_MEMBER..)
            .zip(&config.members)
            .map(|(number, program)| {
                let name = format!("member{}", number - FIRST_MEMBER + 1);
                place(
                    number,
                    &name,
                    program,
                    SecretIdentity::generate(&mut random),
                )
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            root,
            controller,
            members,
            network: None,
        })
    }

    /// All daemons: root, controller, members.
    pub fn daemons(&mut self) -> impl Iterator<Item = &mut Daemon> {
        [&mut self.root, &mut self.controller]
            .into_iter()
            .chain(&mut self.members)
    }

    /// The network, once created.
    pub fn network(&self) -> Option<NetworkId> {
        self.network
    }

    /// Creates a private network with IPv4 addresses 10.147.20.1 to .254 at the controller.
    pub fn create_network(&mut self) -> io::Result<NetworkId> {
        let path = format!("/controller/network/{}______", self.controller.address());
        let body = json!({
            "name": "lab",
            "private": true,
            "v4AssignMode": {"zt": true},
            "routes": [{"target": "10.147.20.0/24", "via": null}],
            "ipAssignmentPools": [{"ipRangeStart": "10.147.20.1", "ipRangeEnd": "10.147.20.254"}],
        });
        let answer = expect_200(self.controller.post(&path, &body)?, &path)?;
        let network = answer["id"].as_str().and_then(|id| id.parse().ok());
        self.network = network;
        network.ok_or_else(|| io::Error::other(format!("no network id in {answer}")))
    }

    /// Joins and authorises one member and waits until it has its address.
    pub fn admit(&self, member: usize, patience: Duration) -> io::Result<Ipv4Addr> {
        let network = self
            .network
            .ok_or_else(|| io::Error::other("no network yet"))?;
        let daemon = &self.members[member];
        // In this order, so that no refusal can be under way when the configuration comes.
        let authorise = format!("/controller/network/{network}/member/{}", daemon.address());
        expect_200(
            self.controller
                .post(&authorise, &json!({"authorized": true}))?,
            &authorise,
        )?;
        let path = format!("/network/{network}");
        expect_200(daemon.post(&path, &json!({}))?, &path)?;
        self.wait_for_address(member, patience)
    }

    /// Waits until a member that has joined shows status OK and an IPv4 address.
    pub fn wait_for_address(&self, member: usize, patience: Duration) -> io::Result<Ipv4Addr> {
        let network = self
            .network
            .ok_or_else(|| io::Error::other("no network yet"))?;
        let path = format!("/network/{network}");
        let daemon = &self.members[member];
        let mut last = Value::Null;
        until(patience, || {
            let (_, state) = daemon.get(&path)?;
            let address = (state["status"] == "OK").then(|| ipv4_of(&state)).flatten();
            last = state;
            Ok(address)
        })?
        .ok_or_else(|| {
            io::Error::other(format!(
                "{} got no address within {patience:?}; its network is {last}",
                daemon.host().name()
            ))
        })
    }

    /// Waits until `from` has a direct path to `to`.
    pub fn wait_for_direct_path(
        &self,
        from: &Daemon,
        to: Address,
        patience: Duration,
    ) -> io::Result<bool> {
        let path = format!("/peer/{to}");
        let found = until(patience, || {
            let (_, peer) = from.get(&path)?;
            let direct = peer["paths"].as_array().is_some_and(|paths| {
                paths
                    .iter()
                    .any(|path| path["preferred"] == true && path["expired"] == false)
            });
            Ok(direct.then_some(()))
        })?;
        Ok(found.is_some())
    }

    /// Turns a member's link into a black hole: nothing passes in either direction, and no carrier is lost. Members and
    /// links count from 0. To be called where the lab was built.
    pub fn blackhole(&self, member: u8, link: u8) -> io::Result<()> {
        links::blackhole(&port_name(host_of_member(member), link))
    }

    /// Undoes [`Lab::blackhole`].
    pub fn restore(&self, member: u8, link: u8) -> io::Result<()> {
        let port = port_name(host_of_member(member), link);
        links::restore(&port, &bridge_name(link))
    }

    /// Takes away or gives back the carrier of a member's link. To be called where the lab was built.
    pub fn set_carrier(&self, member: u8, link: u8, up: bool) -> io::Result<()> {
        let port = port_name(host_of_member(member), link);
        if up {
            links::set_up(&port)
        } else {
            links::set_down(&port)
        }
    }

    /// Deletes a member's interface, as if it were pulled out. To be called where the lab was built.
    pub fn unplug(&self, member: u8, link: u8) -> io::Result<()> {
        links::delete(&port_name(host_of_member(member), link))
    }

    /// Undoes [`Lab::unplug`]: the interface is there again, with its address.
    pub fn plug_in(&self, member: u8, link: u8) -> io::Result<()> {
        let host = self.members[usize::from(member)].host();
        plug_in(host, host_of_member(member), link)
    }

    /// Takes a member's address at a link away.
    pub fn remove_address(&self, member: u8, link: u8) -> io::Result<()> {
        let address = underlay_address(link, host_of_member(member));
        let host = self.members[usize::from(member)].host();
        host.run(move || links::remove_address(&interface_name(link), address.into()))?
    }

    /// Gives it back.
    pub fn add_address(&self, member: u8, link: u8) -> io::Result<()> {
        let address = underlay_address(link, host_of_member(member));
        let host = self.members[usize::from(member)].host();
        host.run(move || links::add_address(&interface_name(link), address.into(), 24))?
    }

    /// Takes a member's route to a link's network away; address and carrier stay.
    pub fn remove_route(&self, member: u8, link: u8) -> io::Result<()> {
        let host = self.members[usize::from(member)].host();
        let address = underlay_address(link, host_of_member(member));
        host.run(move || links::remove_route(&interface_name(link), address, 24))?
    }

    /// Gives it back.
    pub fn add_route(&self, member: u8, link: u8) -> io::Result<()> {
        let host = self.members[usize::from(member)].host();
        let address = underlay_address(link, host_of_member(member));
        host.run(move || links::add_route(&interface_name(link), address, 24))?
    }

    /// Stops all daemons, members first; names those that did not end with code 0.
    pub fn stop(&mut self) -> io::Result<Vec<String>> {
        let mut complaints = Vec::new();
        for daemon in self
            .members
            .iter_mut()
            .chain([&mut self.controller, &mut self.root])
        {
            if let Some(status) = daemon.stop()?
                && !status.success()
            {
                complaints.push(format!("{} ended with {status}", daemon.host().name()));
            }
        }
        Ok(complaints)
    }
}

/// A new host with an interface at each switch.
fn connect(name: &str, number: u8, link_count: u8) -> io::Result<Host> {
    let host = Host::new(name)?;
    for link in 0..link_count {
        plug_in(&host, number, link)?;
    }
    Ok(host)
}

/// Gives a host an interface at a switch, with its address.
fn plug_in(host: &Host, number: u8, link: u8) -> io::Result<()> {
    let (port, inside) = (port_name(number, link), interface_name(link));
    links::plug_in(&bridge_name(link), &port, &inside, host.namespace())?;
    host.run(move || links::add_address(&inside, IpAddr::V4(underlay_address(link, number)), 24))?
}

/// The first managed IPv4 address in a network object of the API.
fn ipv4_of(network: &Value) -> Option<Ipv4Addr> {
    network["assignedAddresses"]
        .as_array()?
        .iter()
        .filter_map(|address| address.as_str()?.split('/').next()?.parse().ok())
        .next()
}

fn expect_200((status, body): (u16, Value), path: &str) -> io::Result<Value> {
    if status == 200 {
        Ok(body)
    } else {
        Err(io::Error::other(format!(
            "{path} answered {status}: {body}"
        )))
    }
}

/// Repeats `attempt` until it yields something, at most for `patience`. Errors of the attempt end it.
pub fn until<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(result) = attempt()? {
            return Ok(Some(result));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn wall_clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(0))
}

fn seed() -> io::Result<[u8; 32]> {
    use std::io::Read;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
