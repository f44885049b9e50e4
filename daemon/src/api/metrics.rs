//! `/metrics` and `metrics.prom` (service specification G).

use std::fmt::Write as _;

use dataplane::{DropReason, WorkerCounters};
use node::status::{LatencyHistogram, NetworkStatus, NodeStatus, PeerStatus};
use protocol::NetworkId;

/// `packet_type` and number of the verbs, in the reference's order.
const VERBS: [(&str, usize); 21] = [
    ("nop", 0x00),
    ("error", 0x02),
    ("ack", 0x12),
    ("qos", 0x13),
    ("hello", 0x01),
    ("ok", 0x03),
    ("whois", 0x04),
    ("rendezvous", 0x05),
    ("frame", 0x06),
    ("ext_frame", 0x07),
    ("echo", 0x08),
    ("multicast_like", 0x09),
    ("network_credentials", 0x0a),
    ("network_config_request", 0x0b),
    ("network_config", 0x0c),
    ("multicast_gather", 0x0d),
    ("multicast_frame", 0x0e),
    ("push_direct_paths", 0x10),
    ("user_message", 0x14),
    ("remote_trace", 0x15),
    ("path_negotiation_request", 0x16),
];

/// `error_type` and code.
const ERRORS: [(&str, usize); 8] = [
    ("obj_not_found", 3),
    ("unsupported_operation", 5),
    ("identity_collision", 4),
    ("need_membership_certificate", 6),
    ("network_access_denied", 7),
    ("unwanted_multicast", 8),
    ("authentication_required", 9),
    ("internal_server_error", 2),
];

/// Number of FRAME: workers finish most of them, and the node never sees those.
const FRAME: usize = 0x06;

/// Everything that the page shows.
#[derive(Debug)]
#[allow(missing_docs, reason = "named by their type")]
pub struct Sources {
    pub node: NodeStatus,
    pub networks: Vec<NetworkStatus>,
    pub peers: Vec<PeerStatus>,
    pub workers: Vec<WorkerCounters>,
    /// What the control thread sent and delivered.
    pub control: WorkerCounters,
    pub controller: controller::Metrics,
}

/// The page.
pub fn render(sources: &Sources) -> String {
    let mut page = Page::default();
    packets(&mut page, sources);
    data(&mut page, sources);
    networks(&mut page, sources);
    peers(&mut page, sources);
    controller(&mut page, &sources.controller);
    own(&mut page, sources);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let written = writeln!(self.0, "{line}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }
}

fn packets(page: &mut Page, sources: &Sources) {
    let counters = &sources.node.counters;
    let frames = |count: fn(&WorkerCounters) -> u64| sources.workers.iter().map(count).sum::<u64>();
    let directions = [
        ("rx", &counters.received, frames(|w| w.packets_received)),
        ("tx", &counters.sent, frames(|w| w.packets_sent)),
    ];
    page.family("zt_packet", "counter", "ZeroTier packet type counts");
    for (direction, by_verb, by_workers) in directions {
        for (name, number) in VERBS {
            let more = if number == FRAME { by_workers } else { 0 };
            let count = by_verb.get(number).copied().unwrap_or(0) + more;
            page.line(format_args!(
                "zt_packet{{direction=\"{direction}\",packet_type=\"{name}\"}} {count}"
            ));
        }
    }
    page.family("zt_packet_error", "counter", "ZeroTier packet errors");
    for (direction, by_code) in [
        ("rx", &counters.errors_received),
        ("tx", &counters.errors_sent),
    ] {
        for (name, code) in ERRORS {
            let count = by_code.get(code).copied().unwrap_or(0);
            page.line(format_args!(
                "zt_packet_error{{direction=\"{direction}\",error_type=\"{name}\"}} {count}"
            ));
        }
    }
}

fn data(page: &mut Page, sources: &Sources) {
    let all = || sources.workers.iter().chain([&sources.control]);
    let received: u64 = all().map(|worker| worker.bytes_received).sum();
    let sent: u64 = all().map(|worker| worker.bytes_sent).sum();
    page.family(
        "zt_data",
        "counter",
        "number of bytes ZeroTier has transmitted or received",
    );
    for (direction, bytes) in [("rx", received), ("tx", sent)] {
        for (protocol, bytes) in [("udp", bytes), ("tcp", 0)] {
            page.line(format_args!(
                "zt_data{{direction=\"{direction}\",protocol=\"{protocol}\"}} {bytes}"
            ));
        }
    }
}

fn networks(page: &mut Page, sources: &Sources) {
    let count = sources.networks.len() as u64;
    page.single(
        "zt_num_networks",
        "gauge",
        "number of networks this instance is joined to",
        count,
    );
    if sources.networks.is_empty() {
        return;
    }
    let name = "zt_network_multicast_groups_subscribed";
    page.family(
        name,
        "gauge",
        "number of multicast groups networks are subscribed to",
    );
    for network in &sources.networks {
        let (id, groups) = (network.network, network.groups.len());
        page.line(format_args!("{name}{{network_id=\"{id}\"}} {groups}"));
    }
    let name = "zt_network_packets";
    page.family(
        name,
        "counter",
        "number of incoming/outgoing packets per network",
    );
    for network in &sources.networks {
        let (id, node) = (network.network, &network.frames);
        let sum = |count: fn(&dataplane::NetworkCounters) -> u64| sum_of(sources, id, count);
        let rows = [
            ("no", "tx", node.send_dropped + sum(|n| n.send_dropped)),
            ("yes", "tx", node.sent + sum(|n| n.sent)),
            (
                "no",
                "rx",
                node.receive_dropped + sum(|n| n.receive_dropped),
            ),
            ("yes", "rx", node.received + sum(|n| n.received)),
        ];
        for (accepted, direction, count) in rows {
            page.line(format_args!(
                "{name}{{accepted=\"{accepted}\",direction=\"{direction}\",network_id=\"{id}\"}} {count}"
            ));
        }
    }
}

fn sum_of(
    sources: &Sources,
    network: NetworkId,
    count: fn(&dataplane::NetworkCounters) -> u64,
) -> u64 {
    let all = sources.workers.iter().flat_map(|worker| &worker.networks);
    all.filter(|(id, _)| *id == network)
        .map(|(_, counters)| count(counters))
        .sum()
}

/// A family is only there once it has a row, as in the reference.
fn peers(page: &mut Page, sources: &Sources) {
    if sources.peers.is_empty() {
        return;
    }
    let name = "zt_peer_latency";
    page.family(name, "histogram", "peer latency (ms)");
    for peer in &sources.peers {
        latencies(page, name, peer);
    }
    let name = "zt_peer_path_count";
    page.family(name, "gauge", "number of paths to peer");
    for peer in &sources.peers {
        let alive = peer.paths.iter().filter(|path| path.alive).count();
        let rows = [("dead", peer.paths.len() - alive), ("alive", alive)];
        for (status, count) in rows {
            page.line(format_args!(
                "{name}{{node_id=\"{}\",status=\"{status}\"}} {count}",
                peer.address
            ));
        }
    }
    let name = "zt_peer_packets";
    page.family(name, "counter", "number of packets to/from a peer");
    for peer in &sources.peers {
        for (direction, count) in [("tx", peer.packets_sent), ("rx", peer.packets_received)] {
            page.line(format_args!(
                "{name}{{direction=\"{direction}\",node_id=\"{}\"}} {count}",
                peer.address
            ));
        }
    }
    let name = "zt_peer_packet_errors";
    page.family(
        name,
        "counter",
        "number of incoming packet errors from a peer",
    );
    for peer in &sources.peers {
        page.line(format_args!(
            "{name}{{node_id=\"{}\"}} {}",
            peer.address, peer.packet_errors
        ));
    }
}

fn latencies(page: &mut Page, name: &str, peer: &PeerStatus) {
    let (id, counts) = (peer.address, peer.latencies.cumulative());
    let all = counts.last().copied().unwrap_or(0);
    page.line(format_args!("{name}_count{{node_id=\"{id}\"}} {all}"));
    let sum = peer.latencies.sum();
    page.line(format_args!("{name}_sum{{node_id=\"{id}\"}} {sum}"));
    for (bound, count) in LatencyHistogram::BOUNDS.iter().zip(counts) {
        page.line(format_args!(
            "{name}_bucket{{node_id=\"{id}\",le=\"{bound}\"}} {count}"
        ));
    }
    page.line(format_args!(
        "{name}_bucket{{node_id=\"{id}\",le=\"+Inf\"}} {all}"
    ));
}

/// Families of our own.
fn own(page: &mut Page, sources: &Sources) {
    let name = "hawser_dropped";
    page.family(
        name,
        "counter",
        "frames and packets that went no further, by reason",
    );
    for reason in DropReason::ALL {
        let all = sources.workers.iter().chain([&sources.control]);
        let count: u64 = all.map(|worker| worker.dropped(*reason)).sum();
        page.line(format_args!(
            "{name}{{reason=\"{}\"}} {count}",
            reason.name()
        ));
    }
    let name = "hawser_worker_datagrams";
    page.family(
        name,
        "counter",
        "datagrams that each data-plane worker received and sent",
    );
    for (index, worker) in sources.workers.iter().enumerate() {
        for (direction, count) in [
            ("rx", worker.datagrams_received),
            ("tx", worker.datagrams_sent),
        ] {
            page.line(format_args!(
                "{name}{{direction=\"{direction}\",worker=\"{index}\"}} {count}"
            ));
        }
    }
}

fn controller(page: &mut Page, metrics: &controller::Metrics) {
    page.single(
        "controller_network_count",
        "gauge",
        "number of networks the controller is serving",
        metrics.network_count,
    );
    page.single(
        "controller_member_count",
        "gauge",
        "number of network members the controller is serving",
        metrics.member_count,
    );
    page.single(
        "controller_network_change_count",
        "counter",
        "number of times a network configuration is changed",
        metrics.network_change_count,
    );
    page.single(
        "controller_member_change_count",
        "counter",
        "number of times a network member configuration is changed",
        metrics.member_change_count,
    );
    page.single(
        "controller_member_auth_count",
        "counter",
        "number of network member auths",
        metrics.member_auth_count,
    );
    page.single(
        "controller_member_deauth_count",
        "counter",
        "number of network member deauths",
        metrics.member_deauth_count,
    );
    page.single(
        "controller_network_config_request_queue",
        "gauge",
        "number of entries in the request queue for network configurations",
        0,
    );
    page.single(
        "controller_sso_expiration_checks",
        "counter",
        "number of sso expiration checks done",
        0,
    );
    page.single(
        "controller_sso_timeouts",
        "counter",
        "number of sso timeouts",
        0,
    );
    page.single(
        "controller_network_config_request",
        "counter",
        "count of config requests handled",
        metrics.network_config_request,
    );
    page.single(
        "controller_network_config_request_threads",
        "gauge",
        "number of active network config handling threads",
        0,
    );
    page.single(
        "controller_db_get_network",
        "counter",
        "counter",
        metrics.db_get_network,
    );
    page.single(
        "controller_db_get_network_and_member",
        "counter",
        "counter",
        metrics.db_get_network_and_member,
    );
    page.single(
        "controller_db_get_networK_and_member_summary",
        "counter",
        "counter",
        metrics.db_get_network_and_member_summary,
    );
    page.single(
        "controller_db_get_member_list",
        "counter",
        "counter",
        metrics.db_get_member_list,
    );
    page.single(
        "controller_db_get_network_list",
        "counter",
        "counter",
        metrics.db_get_network_list,
    );
    page.single(
        "controller_db_member_change",
        "counter",
        "counter",
        metrics.db_member_change,
    );
    page.single(
        "controller_db_network_change",
        "counter",
        "counter",
        metrics.db_network_change,
    );
}

#[cfg(test)]
mod tests {
    use node::status::Counters;
    use protocol::SecretIdentity;
    use rand::SeedableRng;

    use super::*;

    fn peer() -> PeerStatus {
        let mut latencies = LatencyHistogram::default();
        latencies.observe(2);
        latencies.observe(40);
        PeerStatus {
            address: protocol::Address::from_u64(0x5c_d0ba_70f5),
            version: None,
            latency: None,
            role: node::status::Role::Leaf,
            paths: vec![],
            latencies,
            packets_received: 5,
            packets_sent: 6,
            packet_errors: 1,
        }
    }

    fn sources() -> Sources {
        let identity = SecretIdentity::generate(&mut rand::rngs::StdRng::seed_from_u64(1));
        let mut counters = Counters::default();
        counters.sent[1] = 762;
        counters.received[FRAME] = 3;
        let id = NetworkId(0x4b3e_5f84_e842_c20d);
        let network = dataplane::NetworkCounters {
            received: 12,
            ..Default::default()
        };
        let worker = WorkerCounters {
            bytes_sent: 100,
            packets_received: 12,
            networks: vec![(id, network)],
            ..Default::default()
        };
        Sources {
            node: NodeStatus {
                identity: identity.public().clone(),
                online: true,
                planet_id: 1,
                planet_timestamp: 1,
                surface_addresses: vec![],
                counters,
            },
            networks: vec![NetworkStatus {
                network: id,
                mac: protocol::MacAddress::BROADCAST,
                status: node::status::NetworkStatusCode::Ok,
                config: None,
                bridge: false,
                groups: vec![],
                frames: node::status::FrameCounts::default(),
                authentication_url: None,
            }],
            peers: vec![peer()],
            workers: vec![worker.clone(), worker],
            control: WorkerCounters {
                bytes_sent: 7,
                ..Default::default()
            },
            controller: controller::Metrics::default(),
        }
    }

    #[test]
    fn rows_look_as_captured_and_sums_go_over_all_threads() {
        let page = render(&sources());
        for line in [
            "# HELP zt_packet ZeroTier packet type counts",
            "# TYPE zt_packet counter",
            "zt_packet{direction=\"tx\",packet_type=\"hello\"} 762",
            "zt_packet{direction=\"rx\",packet_type=\"frame\"} 27",
            "zt_packet_error{direction=\"rx\",error_type=\"obj_not_found\"} 0",
            "zt_data{direction=\"tx\",protocol=\"udp\"} 207",
            "zt_num_networks 1",
            "zt_network_packets{accepted=\"yes\",direction=\"rx\",network_id=\"4b3e5f84e842c20d\"} 24",
            "zt_peer_latency_count{node_id=\"5cd0ba70f5\"} 2",
            "zt_peer_latency_sum{node_id=\"5cd0ba70f5\"} 42",
            "zt_peer_latency_bucket{node_id=\"5cd0ba70f5\",le=\"1\"} 0",
            "zt_peer_latency_bucket{node_id=\"5cd0ba70f5\",le=\"3\"} 1",
            "zt_peer_latency_bucket{node_id=\"5cd0ba70f5\",le=\"+Inf\"} 2",
            "zt_peer_packets{direction=\"tx\",node_id=\"5cd0ba70f5\"} 6",
            "zt_peer_packets{direction=\"rx\",node_id=\"5cd0ba70f5\"} 5",
            "zt_peer_packet_errors{node_id=\"5cd0ba70f5\"} 1",
            "controller_db_get_networK_and_member_summary 0",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is missing in\n{page}"
            );
        }
    }

    /// In the order of a page captured from 1.14.1.
    #[test]
    fn families_come_in_the_order_of_the_reference() {
        let page = render(&sources());
        let families = page.lines().filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name, kind))
        });
        let families: Vec<_> = families
            .filter(|(name, _)| !name.starts_with("hawser_"))
            .collect();
        let expected = [
            ("zt_packet", "counter"),
            ("zt_packet_error", "counter"),
            ("zt_data", "counter"),
            ("zt_num_networks", "gauge"),
            ("zt_network_multicast_groups_subscribed", "gauge"),
            ("zt_network_packets", "counter"),
            ("zt_peer_latency", "histogram"),
            ("zt_peer_path_count", "gauge"),
            ("zt_peer_packets", "counter"),
            ("zt_peer_packet_errors", "counter"),
            ("controller_network_count", "gauge"),
            ("controller_member_count", "gauge"),
            ("controller_network_change_count", "counter"),
            ("controller_member_change_count", "counter"),
            ("controller_member_auth_count", "counter"),
            ("controller_member_deauth_count", "counter"),
            ("controller_network_config_request_queue", "gauge"),
            ("controller_sso_expiration_checks", "counter"),
            ("controller_sso_timeouts", "counter"),
            ("controller_network_config_request", "counter"),
            ("controller_network_config_request_threads", "gauge"),
            ("controller_db_get_network", "counter"),
            ("controller_db_get_network_and_member", "counter"),
            ("controller_db_get_networK_and_member_summary", "counter"),
            ("controller_db_get_member_list", "counter"),
            ("controller_db_get_network_list", "counter"),
            ("controller_db_member_change", "counter"),
            ("controller_db_network_change", "counter"),
        ];
        assert_eq!(families, expected);
    }

    #[test]
    fn every_row_belongs_to_the_family_above_it() {
        let page = render(&sources());
        let mut family = "";
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(family), "{line} below {family}");
            }
        }
    }
}
