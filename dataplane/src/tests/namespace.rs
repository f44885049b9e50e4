//! Two data planes on real devices and sockets, in two network namespaces. Needs root; says so when it is skipped.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use node::io::{Link, Transmit};
use protocol::MacAddress;

use super::{Knowledge, LINK, NETWORK};
use crate::{
    Clock, Dataplane, DataplaneConfig, DropReason, Handover, LinkError, TapError, TapSettings,
};

const WORKERS: usize = 2;

/// A thread in a network namespace of its own.
struct Namespace {
    jobs: Sender<Box<dyn FnOnce() + Send>>,
    thread: JoinHandle<()>,
    /// Path of the namespace.
    path: String,
}

impl Namespace {
    /// None if we may not.
    fn new() -> Option<Self> {
        let (jobs, work): (Sender<Box<dyn FnOnce() + Send>>, _) = channel();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            #[allow(
                deprecated,
                reason = "only the network namespace is unshared, no memory safety is at stake"
            )]
            let unshared = rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET);
            let path = unshared.is_ok().then(|| {
                let thread = rustix::thread::gettid().as_raw_nonzero();
                format!("/proc/{}/task/{thread}/ns/net", std::process::id())
            });
            ready.send(path).unwrap();
            for job in work {
                job();
            }
        });
        let path = is_ready.recv().unwrap()?;
        Some(Self { jobs, thread, path })
    }

    fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (sender, receiver) = channel();
        self.jobs
            .send(Box::new(move || sender.send(job()).unwrap()))
            .unwrap();
        receiver.recv().unwrap()
    }

    fn ip(&self, arguments: &str) {
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        self.run(move || {
            let status = Command::new("ip").args(&arguments).status().unwrap();
            assert!(status.success(), "ip {arguments:?}");
        });
    }
}

/// Two namespaces joined by veth, or none (with a line why).
fn namespaces() -> Option<[Namespace; 2]> {
    let possible = rustix::process::geteuid().is_root()
        && Path::new("/dev/net/tun").exists()
        && Command::new("ip").arg("-V").output().is_ok();
    let (true, Some(a), Some(b)) = (possible, Namespace::new(), Namespace::new()) else {
        println!(
            "skipped: network namespaces and devices need root, /dev/net/tun and the ip program"
        );
        return None;
    };
    a.ip(&format!(
        "link add outer type veth peer name outer netns {}",
        b.path
    ));
    for (namespace, host) in [(&a, 1), (&b, 2)] {
        namespace.ip("link set lo up");
        namespace.ip(&format!("addr add 192.0.2.{host}/24 dev outer"));
        namespace.ip(&format!("addr add fd00:2::{host}/64 dev outer nodad"));
        namespace.ip("link set outer up");
    }
    Some([a, b])
}

struct Running {
    dataplane: Dataplane,
    rung: Receiver<()>,
}

fn start(knowledge: Knowledge, local: SocketAddr) -> Running {
    let (ring, rung) = channel();
    let ring = Mutex::new(ring);
    let mut dataplane = Dataplane::start(DataplaneConfig {
        workers: WORKERS,
        pin: true,
        address: knowledge.address,
        seed: [3; 32],
        clock: Clock::start(),
        notify: Arc::new(move || drop(ring.lock().map(|ring| ring.send(())))),
    })
    .unwrap();
    dataplane.publish(Arc::new(knowledge.snapshot()));
    let link = Link {
        id: LINK,
        local,
        interface: "outer".into(),
        hardware_address: None,
    };
    assert_eq!(dataplane.add_link(&link, Some("outer")).unwrap(), local);
    let settings = TapSettings {
        name: "inner".into(),
        mtu: 2800,
        mac: MacAddress::of(knowledge.address, NETWORK),
    };
    let info = dataplane.add_tap(NETWORK, &settings).unwrap();
    assert!(info.index > 0);
    Running { dataplane, rung }
}

/// Tests of this file take turns: while one starts the tool `ip`, the child holds every open device for a moment, another
/// test's too, and that device's name stays taken. Nor does the order of a burst survive two tests' workers on two cores.
static TURN: Mutex<()> = Mutex::new(());

fn on_both_families(test: fn([Namespace; 2], [SocketAddr; 2])) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for addresses in [
        ["192.0.2.1:9993", "192.0.2.2:9993"],
        ["[fd00:2::1]:9993", "[fd00:2::2]:9993"],
    ] {
        if let Some(namespaces) = namespaces() {
            test(namespaces, addresses.map(|a| a.parse().unwrap()));
        }
    }
}

/// Waits for something that must come true within 5 s.
fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come true within 5 s");
}

#[test]
fn datagrams_of_hosts_cross_in_both_directions() {
    on_both_families(|[a, b], [at_a, at_b]| {
        let know_a = Knowledge::new(0x11_2233_4455, 0x66_7788_99aa, at_b);
        let know_b = Knowledge::new(0x66_7788_99aa, 0x11_2233_4455, at_a);
        let macs = [know_a.address, know_b.address].map(|n| MacAddress::of(n, NETWORK));
        let running_a = a.run(move || start(know_a, at_a));
        let running_b = b.run(move || start(know_b, at_b));
        for (namespace, host, other, mac) in [(&a, 1, 2, macs[1]), (&b, 2, 1, macs[0])] {
            namespace.ip(&format!("addr add 10.1.0.{host}/24 dev inner"));
            // ARP is the node's business, which is not here.
            namespace.ip(&format!("neigh add 10.1.0.{other} lladdr {mac} dev inner"));
        }
        let echo = b.run(|| UdpSocket::bind("10.1.0.2:7").unwrap());
        echo.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let client = a.run(|| UdpSocket::bind("10.1.0.1:0").unwrap());
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut buffer = [0; 4000];
        for round in 0..100 {
            let length = 1 + round * 27;
            let message = super::pattern(length);
            client.send_to(&message, "10.1.0.2:7").unwrap();
            let (got, from) = echo.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..got], message);
            echo.send_to(&buffer[..got], from).unwrap();
            let (got, _) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..got], message);
        }
        // A burst (that the host's socket can hold) loses nothing and stays in order.
        let before = running_a.dataplane.counters();
        for n in 0..60u32 {
            let mut message = super::pattern(1000);
            message[..4].copy_from_slice(&n.to_be_bytes());
            client.send_to(&message, "10.1.0.2:7").unwrap();
        }
        for n in 0..60u32 {
            let (got, _) = echo.recv_from(&mut buffer).unwrap();
            assert_eq!(got, 1000);
            assert_eq!(buffer[..4], n.to_be_bytes(), "order within a flow");
        }
        // A worker counts what it has sent once it has sent it: the last may be counted after it arrived.
        let total = |f: fn(&crate::WorkerCounters) -> u64| -> u64 {
            running_a.dataplane.counters().iter().map(f).sum()
        };
        let sent_before: u64 = before.iter().map(|c| c.datagrams_sent).sum();
        eventually(|| total(|c| c.datagrams_sent) == sent_before + 60);
        eventually(|| total(|c| c.networks[0].1.sent) == 160);
        a.run(move || running_a.dataplane.stop());
        b.run(move || running_b.dataplane.stop());
    });
}

#[test]
fn the_control_thread_sends_delivers_and_drains() {
    on_both_families(|[a, b], [at_a, at_b]| {
        let know_a = Knowledge::new(0x11_2233_4455, 0x66_7788_99aa, at_b);
        let know_b = Knowledge::new(0x66_7788_99aa, 0x11_2233_4455, at_a);
        let own_mac = MacAddress::of(know_b.address, NETWORK);
        let running_a = a.run(move || start(know_a, at_a));
        let mut running_b = b.run(move || start(know_b, at_b));

        // A datagram that IP must fragment, and one with few hops.
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for (length, ttl, link) in [
            (8000, None, None),
            (200, Some(2), Some(LINK)),
            (13, None, None),
        ] {
            let mut bytes = vec![7; length];
            if let Some(destination) = bytes.get_mut(8..13) {
                destination.copy_from_slice(&0x66_7788_99aa_u64.to_be_bytes()[3..]);
            }
            running_a.dataplane.transmit(&Transmit {
                link,
                to: at_b,
                bytes: bytes.clone(),
                ttl,
            });
            sent.push(bytes);
        }
        let mut got = Vec::new();
        while got.len() < sent.len() {
            running_b
                .rung
                .recv_timeout(Duration::from_secs(5))
                .expect("the bell rings");
            running_b.dataplane.drain(|handover| {
                if let Handover::Datagram { path, bytes } = handover {
                    assert_eq!((path.link, path.remote), (LINK, at_a));
                    got.push(bytes);
                }
            });
        }
        got.sort();
        sent.sort();
        assert_eq!(got, sent);
        assert_eq!(running_a.dataplane.control_counters().datagrams_sent, 3);

        // A frame for the host, from nowhere.
        b.ip("addr add 10.1.0.2/24 dev inner");
        let host = b.run(|| UdpSocket::bind("10.1.0.2:53").unwrap());
        host.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut frame = super::frame(own_mac, MacAddress([2; 6]), b"delivered");
        frame[14 + 2..14 + 4].copy_from_slice(&37u16.to_be_bytes());
        frame[14 + 8] = 64;
        frame[14 + 12..14 + 20].copy_from_slice(&[10, 1, 0, 9, 10, 1, 0, 2]);
        let sum: u32 = frame[14..34]
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        frame[14 + 10..14 + 12].copy_from_slice(&sum.to_be_bytes());
        frame[14 + 24..14 + 26].copy_from_slice(&17u16.to_be_bytes());
        running_b.dataplane.deliver(NETWORK, &frame);
        let mut buffer = [0; 100];
        let length = host.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"delivered");

        // Names and addresses are taken while they are held, and free afterwards.
        let (other, settings) = (
            protocol::NetworkId(5),
            TapSettings {
                name: "inner".into(),
                mtu: 1400,
                mac: own_mac,
            },
        );
        running_b = b.run(move || {
            let dataplane = &mut running_b.dataplane;
            assert!(matches!(
                dataplane.add_tap(other, &settings),
                Err(TapError::NameTaken(_))
            ));
            assert!(matches!(
                dataplane.add_tap(NETWORK, &settings),
                Err(TapError::Exists(_))
            ));
            dataplane.set_tap_mtu(NETWORK, 1500).unwrap();
            assert!(dataplane.remove_tap(NETWORK));
            assert!(!dataplane.remove_tap(NETWORK));
            dataplane.add_tap(other, &settings).unwrap();
            let second = Link {
                id: node::io::LinkId(8),
                local: at_b,
                interface: String::new(),
                hardware_address: None,
            };
            assert!(matches!(
                dataplane.add_link(&second, Some("outer")),
                Err(LinkError::AddressInUse(_))
            ));
            assert!(dataplane.remove_link(LINK));
            assert_eq!(dataplane.add_link(&second, Some("outer")).unwrap(), at_b);
            running_b
        });
        running_b.dataplane.deliver(NETWORK, &frame);
        let lost = running_b.dataplane.control_counters();
        assert_eq!(lost.dropped(DropReason::NoDevice), 1);
        assert!(running_b.dataplane.counters().len() == WORKERS);
        a.run(move || drop(running_a));
        b.run(move || drop(running_b));
        drop((a.jobs, b.jobs));
        a.thread.join().unwrap();
        b.thread.join().unwrap();
    });
}
