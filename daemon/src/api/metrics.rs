//! `/metrics` and `metrics.prom` (service specification G).

use std::fmt::Write as _;

use dataplane::{DropReason, WorkerCounters};
use node::status::{NetworkStatus, NodeStatus, PeerStatus};
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
    own(&mut page, sources);
    controller(&mut page, &sources.controller);
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
    let frames = |count: fn(&dataplane::NetworkCounters) -> u64| {
        let networks = sources.workers.iter().flat_map(|worker| &worker.networks);
        networks.map(|(_, network)| count(network)).sum::<u64>()
    };
    let directions = [
        ("rx", &counters.received, frames(|network| network.received)),
        ("tx", &counters.sent, frames(|network| network.sent)),
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
        page.line(format_args!(
            "zt_data{{direction=\"{direction}\",protocol=\"udp\"}} {bytes}"
        ));
        page.line(format_args!(
            "zt_data{{direction=\"{direction}\",protocol=\"tcp\"}} 0"
        ));
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
        let id = network.network;
        let sum = |count: fn(&dataplane::NetworkCounters) -> u64| sum_of(sources, id, count);
        let rows = [
            ("no", "rx", sum(|n| n.receive_dropped)),
            ("no", "tx", sum(|n| n.send_dropped)),
            ("yes", "rx", sum(|n| n.received)),
            ("yes", "tx", sum(|n| n.sent)),
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

fn peers(page: &mut Page, sources: &Sources) {
    let name = "zt_peer_path_count";
    page.family(name, "gauge", "number of paths to peer");
    for peer in &sources.peers {
        let alive = peer.paths.iter().filter(|path| path.alive).count();
        let rows = [("alive", alive), ("dead", peer.paths.len() - alive)];
        for (status, count) in rows {
            page.line(format_args!(
                "{name}{{node_id=\"{}\",status=\"{status}\"}} {count}",
                peer.address
            ));
        }
    }
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
    let rows = [
        ("controller_network_count", "gauge", metrics.network_count),
        ("controller_member_count", "gauge", metrics.member_count),
        (
            "controller_network_change_count",
            "counter",
            metrics.network_change_count,
        ),
        (
            "controller_member_change_count",
            "counter",
            metrics.member_change_count,
        ),
        (
            "controller_member_auth_count",
            "counter",
            metrics.member_auth_count,
        ),
        (
            "controller_member_deauth_count",
            "counter",
            metrics.member_deauth_count,
        ),
        ("controller_network_config_request_queue", "gauge", 0),
        ("controller_sso_expiration_checks", "counter", 0),
        ("controller_sso_timeouts", "counter", 0),
        (
            "controller_network_config_request",
            "counter",
            metrics.network_config_request,
        ),
        ("controller_network_config_request_threads", "gauge", 0),
        (
            "controller_db_get_network",
            "counter",
            metrics.db_get_network,
        ),
        (
            "controller_db_get_network_and_member",
            "counter",
            metrics.db_get_network_and_member,
        ),
        (
            "controller_db_get_networK_and_member_summary",
            "counter",
            metrics.db_get_network_and_member_summary,
        ),
        (
            "controller_db_get_member_list",
            "counter",
            metrics.db_get_member_list,
        ),
        (
            "controller_db_get_network_list",
            "counter",
            metrics.db_get_network_list,
        ),
        (
            "controller_db_member_change",
            "counter",
            metrics.db_member_change,
        ),
        (
            "controller_db_network_change",
            "counter",
            metrics.db_network_change,
        ),
    ];
    for (name, kind, value) in rows {
        let words = name.trim_start_matches("controller_").replace('_', " ");
        page.single(name, kind, &format!("network controller: {words}"), value);
    }
}

#[cfg(test)]
mod tests {
    use node::status::Counters;
    use protocol::SecretIdentity;
    use rand::SeedableRng;

    use super::*;

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
                authentication_url: None,
            }],
            peers: vec![],
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
            "controller_db_get_networK_and_member_summary 0",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is missing in\n{page}"
            );
        }
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
