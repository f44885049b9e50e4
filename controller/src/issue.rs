//! Configurations and credentials (service specification F.9).

use protocol::credential::{Capability, CertificateOfMembership, CertificateOfOwnership, Tag};
use protocol::network_config::{
    FLAG_BROADCAST, FLAG_NDP_EMULATION, NetworkConfig, SPECIALIST_ACTIVE_BRIDGE,
};
use protocol::rule::{Rule, RuleKind};
use protocol::{Identity, NetworkId, SecretIdentity};

use crate::assign::Assignment;
use crate::member;
use crate::network::Network;

/// Most capabilities of a member.
const MAX_CAPABILITIES: usize = 128;
/// Most tags of a member.
const MAX_TAGS: usize = 128;
/// Most nodes with special roles.
const MAX_SPECIALISTS: usize = 256;
/// Most addresses in a certificate of ownership.
const MAX_OWNED: usize = 16;
/// The only certificate of ownership that members get.
const OWNERSHIP_ID: u32 = 1;

/// Makes a member's configuration with fresh credentials. Members without rules engine get a single accept rule.
pub(crate) fn issue(
    controller: &SecretIdentity,
    now_ms: u64,
    (id, network): (NetworkId, &Network),
    (identity, member): (&Identity, &member::Settings),
    assignment: &Assignment,
    rules_engine: bool,
) -> NetworkConfig {
    let settings = network.settings();
    let to = identity.address();
    let mut config = NetworkConfig::new(id, to);
    config.timestamp = now_ms;
    config.credential_time_max_delta = settings.window;
    config.revision = settings.revision;
    (config.remote_trace_target, config.remote_trace_level) = match member.trace_target {
        Some(target) => (Some(target), member.trace_level),
        None => (settings.trace_target, settings.trace_level),
    };
    config.flags = 0;
    if settings.broadcast {
        config.flags |= FLAG_BROADCAST;
    }
    if assignment.ndp_emulation {
        config.flags |= FLAG_NDP_EMULATION;
    }
    config.multicast_limit = settings.multicast_limit;
    config.public = !settings.private;
    config.name.clone_from(&settings.name);
    config.mtu = settings.mtu;
    config.specialists = network
        .bridges()
        .iter()
        .take(MAX_SPECIALISTS)
        .map(|bridge| bridge.to_u64() | SPECIALIST_ACTIVE_BRIDGE)
        .collect();
    config.routes.clone_from(&settings.routes);
    config.dns.clone_from(&settings.dns);
    config.assigned_ips.clone_from(&assignment.sent);
    config.membership = Some(CertificateOfMembership::issue(
        controller,
        id,
        identity,
        now_ms,
        settings.window,
    ));
    if !assignment.sent.is_empty() {
        config.ownership = vec![CertificateOfOwnership::issue(
            controller,
            id,
            to,
            now_ms,
            OWNERSHIP_ID,
            assignment
                .sent
                .iter()
                .take(MAX_OWNED)
                .map(|prefix| prefix.ip.into())
                .collect(),
        )];
    }
    if !rules_engine {
        config.rules = vec![Rule::new(RuleKind::Accept)];
        return config;
    }
    config.rules.clone_from(&settings.rules);
    config.capabilities = member
        .capabilities
        .iter()
        .filter_map(|capability| settings.capabilities.get_key_value(capability))
        .take(MAX_CAPABILITIES)
        .map(|(number, definition)| {
            let rules = definition.rules.clone();
            Capability::issue(controller, id, to, now_ms, *number, rules)
        })
        .collect();
    config.tags = member
        .tags
        .iter()
        .take(MAX_TAGS)
        .map(|(number, value)| Tag::issue(controller, id, to, now_ms, *number, *value))
        .collect();
    config
}
