//! What befalls a daemon that nobody wishes for: strangers at its API, another node with its address, a machine that sleeps.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cli::lab::daemon::{Daemon, PORT};
use cli::lab::topology::{underlay_address, until};
use cli::lab::traffic;
use protocol::packet::{PacketId, PacketView, Suite};
use protocol::verb::{ErrorCode, Hello};
use protocol::{Address, SecretIdentity, SessionKeys, Verb};
use tests::runner::{Place, Scenario};

const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "strangers_at_the_api_disturb_nobody",
            strangers_at_the_api_disturb_nobody,
        ),
        Scenario::new(
            "a_colliding_identity_is_replaced",
            a_colliding_identity_is_replaced,
        ),
        Scenario::new("sleep_is_noticed", sleep_is_noticed),
    ]
}

fn strangers_at_the_api_disturb_nobody(place: &Place) -> anyhow::Result<()> {
    let mut lab = place.lab(1, 2)?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    lab.create_network()?;
    lab.admit(0, PATIENCE)?;
    let second: Ipv4Addr = lab.admit(1, PATIENCE)?;
    let ping = |count| {
        let host = lab.members[0].host();
        host.run(move || traffic::ping(second, count, Duration::from_secs(1)))
    };
    ensure!(!ping(20)??.round_trips.is_empty(), "no way to member2");

    let member = &lab.members[0];
    let resident_before = member.resident_bytes().context("no memory use")?;
    let stop = Arc::new(AtomicBool::new(false));
    let connections = Arc::new(AtomicU64::new(0));
    let to = SocketAddr::from((underlay_address(0, 3), PORT));
    let flood = {
        let (stop, connections) = (Arc::clone(&stop), Arc::clone(&connections));
        // From the controller's host, which is not allowed anything there.
        lab.controller.host().spawn(move || {
            let mut held = std::collections::VecDeque::new();
            while !stop.load(Ordering::Relaxed) {
                if let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) {
                    // A request that never ends, or a bad one.
                    let _closed = stream.write_all(b"POST /status HTTP/1.1\r\nContent-Length: 99");
                    held.push_back(stream);
                    connections.fetch_add(1, Ordering::Relaxed);
                }
                if held.len() > 400 {
                    held.pop_front();
                }
            }
        })?
    };
    let made = || connections.load(Ordering::Relaxed);
    let flooded = until(PATIENCE, || Ok((made() > 500).then_some(())))?;
    flooded.with_context(|| format!("only {} connections: that is no flood", made()))?;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let start = Instant::now();
        let (status, _) = member.get("/status")?;
        slowest = slowest.max(start.elapsed());
        ensure!(status == 200, "the operator got {status}");
    }
    let steady = ping(20)??;
    let resident = member.resident_bytes().context("no memory use")?;
    stop.store(true, Ordering::Relaxed);
    ensure!(flood.join().is_ok(), "the flood died");
    ensure!(
        slowest < Duration::from_secs(1),
        "the operator waited for {slowest:?}"
    );
    ensure!(
        steady.round_trips.len() == 20,
        "{} of 20 pings were answered",
        steady.round_trips.len()
    );
    let grown = resident.saturating_sub(resident_before) >> 20;
    ensure!(grown < 32, "memory grew by {grown} MiB");
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}

/// A root that tells the node at `victim` that its address is taken.
fn tell_of_collision(root: &SecretIdentity, victim: Address, socket: &UdpSocket) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let packet = &mut buffer[..length];
        let Some(view) = PacketView::new(packet) else {
            continue;
        };
        if view.source() != victim || view.verb() != Some(Verb::Hello) {
            continue;
        }
        let Ok((hello, _)) = Hello::decode(view.payload()) else {
            continue;
        };
        let id = view.id();
        let keys = SessionKeys::new(&root.agree(&hello.identity));
        if keys.open(packet).is_err() {
            continue;
        }
        let mut error = protocol::packet::start(
            PacketId(id.0.wrapping_add(1)),
            victim,
            root.address(),
            Verb::Error,
        );
        error.push(Verb::Hello as u8);
        error.extend(id.0.to_be_bytes());
        error.push(ErrorCode::IdentityCollision as u8);
        keys.seal(&mut error, Suite::Salsa20Poly1305);
        let _lost = socket.send_to(&error, from);
    }
}

fn status_address(daemon: &Daemon) -> Option<String> {
    let (_, status) = daemon.get("/status").ok()?;
    status["address"].as_str().map(str::to_owned)
}

fn a_colliding_identity_is_replaced(place: &Place) -> anyhow::Result<()> {
    let mut lab = place.lab(1, 1)?;
    let secret = std::fs::read_to_string(lab.root.home().join("identity.secret"))?;
    let root: SecretIdentity = secret.trim().parse().ok().context("root's identity")?;
    let victim = lab.members[0].address();
    let member_home = lab.members[0].home().to_owned();
    let before = std::fs::read_to_string(member_home.join("identity.secret"))?;
    lab.root.host().spawn(move || {
        let socket = UdpSocket::bind((underlay_address(0, 1), PORT))?;
        tell_of_collision(&root, victim, &socket);
        std::io::Result::Ok(())
    })?;
    let member = &mut lab.members[0];
    member.start()?;
    let pid = member.pid();
    let member = &lab.members[0];
    let fresh = until(PATIENCE, || {
        let address = status_address(member);
        Ok(address.filter(|address| *address != victim.to_string()))
    })?
    .context("the identity was never replaced")?;
    let file = |name: &str| std::fs::read_to_string(member_home.join(name));
    ensure!(
        file("identity.secret.saved_after_collision")? == before,
        "the old identity was not saved"
    );
    ensure!(
        file("identity.secret")?.starts_with(&fresh),
        "identity.secret is not that of {fresh}"
    );
    ensure!(
        file("identity.public")?.starts_with(&fresh),
        "identity.public is not that of {fresh}"
    );
    ensure!(
        file("zerotier-one.pid")? == pid.map(|pid| pid.to_string()).unwrap_or_default(),
        "the pid file is wrong"
    );
    // It goes on as a normal node with the same process id.
    let (status, _) = member.get("/network")?;
    ensure!(status == 200 && member.pid() == pid, "{status}");
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}

fn signal(daemon: &Daemon, name: &str) -> anyhow::Result<()> {
    let pid = daemon.pid().context("it does not run")?.to_string();
    let done = std::process::Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status()?;
    ensure!(done.success(), "kill -{name} failed");
    Ok(())
}

fn secondary_port(daemon: &Daemon) -> anyhow::Result<u64> {
    let (_, status) = daemon.get("/status")?;
    let port = &status["config"]["settings"]["secondaryPort"];
    port.as_u64().context("no secondary port")
}

fn sleep_is_noticed(place: &Place) -> anyhow::Result<()> {
    let mut lab = place.lab(1, 1)?;
    lab.members[0].start()?;
    let member = &lab.members[0];
    let before = secondary_port(member)?;
    signal(member, "STOP")?;
    std::thread::sleep(Duration::from_secs(17));
    signal(member, "CONT")?;
    let after = until(PATIENCE, || {
        let port = secondary_port(member).map_err(std::io::Error::other)?;
        Ok((port != before).then_some(port))
    })?
    .context("no other secondary port after a sleep")?;
    ensure!(member.log().contains("woken from sleep"), "nothing logged");
    let socket = format!("10.77.0.3/{after}");
    let (_, status) = member.get("/status")?;
    let listening = &status["config"]["settings"]["listeningOn"];
    ensure!(
        listening
            .as_array()
            .is_some_and(|all| all.contains(&socket.as_str().into())),
        "{socket} is not among {listening}"
    );
    ensure!(lab.stop()?.is_empty(), "no clean stop");
    Ok(())
}
