//! `session-*`: captures of real nodes. Every packet, first to last, is opened, decompressed, counted, and sealed again
//! to the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use protocol::packet::{self, PacketView};
use protocol::{Address, SecretIdentity, SessionKeys, Suite, Verb};

use crate::join::Joiner;
use crate::load;
use crate::pcap;

const HOPS_MASK: u8 = 0x07;
const FLAGS: usize = 18;

/// How often each message was captured: name, suite, relayed or not.
type Histogram = BTreeMap<(String, &'static str, bool), u64>;

/// What the session's README says about the capture.
struct Expected {
    packets: u64,
    incomplete: u64,
    other: u64,
    histogram: BTreeMap<(String, String, bool), u64>,
}

macro_rules! sessions {
    ($($test:ident $folder:literal)*) => {
        $(#[test] fn $test() { check_session($folder); })*

        /// A session that no test here knows would go unchecked.
        #[test]
        fn every_session_has_a_test() {
            let known = [$($folder),*];
            let Ok(entries) = fs::read_dir(load::directory()) else {
                return load::skip(&load::directory(), "no such directory");
            };
            for entry in entries {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(!name.starts_with("session-") || known.contains(&&*name), "{name} has no test");
            }
        }
    };
}

sessions! {
    join_and_ping "session-a-join-ping"
    trusted_path "session-b-trusted-path"
    salsa_only "session-b2-salsa-only"
    balance_aware "session-c-bond-balance-aware"
    balance_xor "session-c2-bond-balance-xor"
    balance_rr "session-c3-bond-balance-rr"
    broadcast "session-c4-bond-broadcast"
    balance_aware_without_capacity "session-c5-bond-balance-aware-no-capacity"
    active_backup "session-d-active-backup-failover"
    rules_and_multicast "session-e-rules-multicast"
    relay_then_direct "session-f-relay-then-direct"
    worlds "session-g-worlds"
}

fn check_session(folder: &str) {
    let folder = load::directory().join(folder);
    let Some(readme) = load::text(&folder.join("README.md")) else {
        return;
    };
    let expected = read_expected(&readme);
    let capture = fs::read(folder.join("capture.pcap")).unwrap();
    let mut keyring = Keyring::read(&folder);

    let mut joiners = BTreeMap::<[u8; 12], Joiner>::new();
    let mut histogram = Histogram::new();
    let (mut packets, mut other) = (0, 0);
    for datagram in pcap::datagrams(&capture) {
        if datagram.payload.len() <= packet::FRAGMENT_HEADER_LENGTH {
            other += 1;
            continue;
        }
        let joiner = joiners.entry(datagram.ethernet_pair).or_default();
        let Some(sealed) = joiner.take(&datagram.payload) else {
            continue;
        };
        let message = check_packet(&mut keyring, &sealed);
        packets += 1;
        *histogram.entry(message).or_default() += 1;
    }
    let incomplete: usize = joiners.values().map(Joiner::incomplete).sum();
    assert_eq!(
        (packets, incomplete as u64, other),
        (expected.packets, expected.incomplete, expected.other)
    );
    let histogram: BTreeMap<_, _> = histogram
        .into_iter()
        .map(|((message, suite, relayed), count)| ((message, suite.to_owned(), relayed), count))
        .collect();
    assert_eq!(histogram, expected.histogram);
}

/// Opens one packet, and seals it again.
fn check_packet(keyring: &mut Keyring, sealed: &[u8]) -> (String, &'static str, bool) {
    let view = PacketView::new(sealed).unwrap();
    let (suite, relayed) = (view.suite().unwrap(), view.hops() > 0);
    let mut opened = sealed.to_vec();
    if suite != Suite::TrustedPath {
        let keys = keyring.keys(view.source(), view.destination());
        keys.open(&mut opened)
            .unwrap_or_else(|error| panic!("{:?}: {error}", view.id()));
        check_sealing(keys, sealed, &opened, suite);
        if opened[packet::VERB_OFFSET] == 0x01 {
            check_hello_section(keys, &opened);
        }
    }
    packet::decompress(&mut opened).unwrap();
    let opened = PacketView::new(&opened).unwrap();
    assert!(!opened.is_compressed());
    let suite_name = match suite {
        Suite::Poly1305 => "poly1305-none",
        Suite::Salsa20Poly1305 => "salsa2012-poly1305",
        Suite::TrustedPath => "trusted-path",
        Suite::AesGmacSiv => "aes-gmac-siv",
    };
    (message_name(opened), suite_name, relayed)
}

/// Sealing the opened packet, under the id that its sender drew, must give the captured bytes.
fn check_sealing(keys: &SessionKeys, sealed: &[u8], opened: &[u8], suite: Suite) {
    let mut again = opened.to_vec();
    if suite == Suite::AesGmacSiv {
        again[..8].copy_from_slice(&keys.inner_id(sealed).0.to_be_bytes());
    }
    // Senders seal with no hops; relays count them afterwards.
    again[FLAGS] &= packet::FLAG_FRAGMENTED;
    again[19..27].fill(0);
    let id = keys.seal(&mut again, suite);
    again[FLAGS] |= sealed[FLAGS] & HOPS_MASK;
    assert_eq!(again, sealed);
    assert_eq!(PacketView::new(sealed).unwrap().id(), id);
}

/// Unmasked, the tail of a HELLO is a count of moons and 17 bytes for each of them, of type 127.
fn check_hello_section(keys: &SessionKeys, opened: &[u8]) {
    let payload = PacketView::new(opened).unwrap().payload();
    let address_length = match payload[84] {
        0 => 1,
        4 => 7,
        6 => 19,
        other => panic!("address type {other}"),
    };
    let mut section = payload[84 + address_length + 16..].to_vec();
    keys.mask_hello_section(PacketView::new(opened).unwrap().id(), &mut section);
    let moons = usize::from(u16::from_be_bytes([section[0], section[1]]));
    assert_eq!(section.len(), 2 + 17 * moons);
    assert!(section[2..].chunks(17).all(|moon| moon[0] == 127));
}

/// As the READMEs spell it: an OK or ERROR names what it answers.
fn message_name(packet: PacketView<'_>) -> String {
    let name = verb_name(packet.bytes()[packet::VERB_OFFSET]);
    match &*name {
        "OK" => format!("OK({})", verb_name(packet.payload()[0])),
        "ERROR" => {
            let code = match packet.payload()[9] {
                0x03 => "OBJ_NOT_FOUND",
                0x06 => "NEED_MEMBERSHIP_CERTIFICATE",
                0x07 => "NETWORK_ACCESS_DENIED",
                code => panic!("error {code:#x} is in no session"),
            };
            format!("ERROR({},{code})", verb_name(packet.payload()[0]))
        }
        _ => name,
    }
}

fn verb_name(byte: u8) -> String {
    let verb = Verb::from_byte(byte).unwrap_or_else(|| panic!("unknown verb {byte:#x}"));
    match verb {
        // The metrics' name is shorter than the protocol's.
        Verb::QosMeasurement => "QOS_MEASUREMENT".to_owned(),
        verb => verb.name().to_uppercase(),
    }
}

/// The secrets of a session's nodes, and the keys of each pair once a packet needed them.
struct Keyring {
    secrets: BTreeMap<Address, SecretIdentity>,
    keys: BTreeMap<(Address, Address), SessionKeys>,
}

impl Keyring {
    fn read(folder: &Path) -> Self {
        let mut secrets = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().ends_with(".identity.secret") {
                let secret: SecretIdentity = fs::read_to_string(&path).unwrap().parse().unwrap();
                assert!(secret.is_consistent());
                secrets.insert(secret.address(), secret);
            }
        }
        Self {
            secrets,
            keys: BTreeMap::new(),
        }
    }

    fn keys(&mut self, source: Address, destination: Address) -> &SessionKeys {
        let pair = (source.min(destination), source.max(destination));
        self.keys.entry(pair).or_insert_with(|| {
            SessionKeys::new(&self.secrets[&source].agree(self.secrets[&destination].public()))
        })
    }
}

fn read_expected(readme: &str) -> Expected {
    let (_, section) = readme
        .split_once("## Packets by verb")
        .expect("the README has a histogram");
    let (_, summary) = section
        .split_once("Decoded with")
        .expect("the README has a summary");
    let summary = summary.lines().next().unwrap();
    let number_before = |words: &str| -> u64 {
        let (before, _) = summary
            .split_once(words)
            .unwrap_or_else(|| panic!("no {words:?} in the summary"));
        before.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let mut histogram = BTreeMap::new();
    for row in section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let &[message, suite, relayed, count] = &cells[..] else {
            panic!("row {row:?}")
        };
        let key = (message.to_owned(), suite.to_owned(), relayed == "yes");
        histogram.insert(key, count.parse().unwrap());
    }
    assert!(!histogram.is_empty());
    Expected {
        packets: number_before(" whole packets"),
        incomplete: number_before(" datagrams belong to packets"),
        other: number_before(" other datagrams"),
        histogram,
    }
}
