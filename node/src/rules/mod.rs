//! The rules engine: does a frame pass (protocol specification 14.3 and 14.4)? Pure functions over compiled data, used by
//! workers and by the node alike. Nothing here allocates while evaluating.

mod context;
mod matcher;
mod verdict;

use protocol::credential::OwnedThing;
use protocol::network_config::NetworkConfig;
use protocol::rule::{Forward, Rule, RuleKind};
use protocol::{Address, IpPrefix, MacAddress, NetworkId};

pub use self::context::{Context, characteristic};
use self::matcher::Matched;
pub use self::verdict::{Action, CopyTo, Decision, RuleSetResult, Verdict};
use crate::frame::EthernetFrame;

/// One network's rules and our own credentials, ready to evaluate.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named by their type")]
pub struct NetworkPolicy {
    pub me: Address,
    pub network: NetworkId,
    pub rules: Box<[Rule]>,
    /// Own capabilities' rules by ascending capability id.
    pub capabilities: Box<[(u32, Box<[Rule]>)]>,
    /// Own tags, by ascending id.
    pub tags: Box<[(u32, u32)]>,
    /// What our certificates of ownership list.
    pub owned: Box<[OwnedThing]>,
    /// Our own managed addresses (for IPv6 schemes whose addresses count as authenticated).
    pub assigned: Box<[IpPrefix]>,
    /// Raw configuration flags.
    pub flags: u64,
}

/// What a remote member has proved: valid credentials only (13.7).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteCredentials {
    /// By ascending id.
    pub tags: Box<[(u32, u32)]>,
    /// Rules of its capabilities.
    pub capabilities: Box<[(u32, Box<[Rule]>)]>,
    /// What it owns.
    pub owned: Box<[OwnedThing]>,
}

impl NetworkPolicy {
    /// Compiles a configuration.
    pub fn new(me: Address, config: &NetworkConfig) -> Self {
        let mut capabilities: Vec<_> = config
            .capabilities
            .iter()
            .map(|capability| (capability.id, capability.rules.clone().into_boxed_slice()))
            .collect();
        capabilities.sort_by_key(|(id, _)| *id);
        let mut tags: Vec<_> = config.tags.iter().map(|tag| (tag.id, tag.value)).collect();
        tags.sort_by_key(|(id, _)| *id);
        tags.dedup_by_key(|(id, _)| *id);
        Self {
            me,
            network: config.network,
            rules: config.rules.clone().into_boxed_slice(),
            capabilities: capabilities.into_boxed_slice(),
            tags: tags.into_boxed_slice(),
            owned: config
                .ownership
                .iter()
                .flat_map(|certificate| certificate.things.iter().copied())
                .collect(),
            assigned: config.assigned_ips.clone().into_boxed_slice(),
            flags: config.flags,
        }
    }

    /// May we send `frame` to `destination` (none in the first pass of a multicast or bridged frame)? `remote` is what we
    /// know of the destination. `random` feeds MATCH_RANDOM. In a pass without TEE the caller ignores the copies.
    pub fn filter_outbound(
        &self,
        destination: Option<Address>,
        remote: Option<&RemoteCredentials>,
        frame: &EthernetFrame<'_>,
        random: u32,
    ) -> Verdict {
        let context = Context::outbound(self, destination, remote, frame, random);
        self.filter(&context, &self.capabilities)
    }

    /// May `frame` from `source` come in?
    pub fn filter_inbound(
        &self,
        source: Address,
        remote: Option<&RemoteCredentials>,
        frame: &EthernetFrame<'_>,
        random: u32,
    ) -> Verdict {
        let context = Context::inbound(self, source, remote, frame, random);
        let capabilities = remote.map_or(&[][..], |remote| &remote.capabilities);
        self.filter(&context, capabilities)
    }

    /// Our MAC address on this network.
    pub fn mac(&self) -> MacAddress {
        MacAddress::of(self.me, self.network)
    }

    /// The base rules decide; if they do not, the first of the sender's capabilities that lets the frame pass.
    fn filter(&self, context: &Context<'_>, capabilities: &[(u32, Box<[Rule]>)]) -> Verdict {
        let base = evaluate(&self.rules, context);
        let mut cacheable = base.cacheable;
        let mut action = pass(base.result);
        let mut capability_copy = None;
        if base.result == RuleSetResult::NoMatch {
            for (_, rules) in capabilities {
                let decision = evaluate(rules, context);
                cacheable &= decision.cacheable;
                action = pass(decision.result);
                if action.is_some() {
                    capability_copy = decision.copy;
                    break;
                }
            }
        }
        let base_copy = base.copy.filter(|_| action.is_some());
        Verdict {
            action: action.unwrap_or(Action::Drop),
            base_copy,
            capability_copy,
            cacheable: cacheable && base_copy.is_none() && capability_copy.is_none(),
        }
    }
}

/// What a rule set's result means for the frame; `None` if it does not let it pass.
fn pass(result: RuleSetResult) -> Option<Action> {
    match result {
        RuleSetResult::NoMatch | RuleSetResult::Drop => None,
        RuleSetResult::Accept => Some(Action::Accept),
        RuleSetResult::SuperAccept => Some(Action::SuperAccept),
        RuleSetResult::Redirect(target) => Some(Action::Redirect(target)),
    }
}

/// What a TEE, WATCH or REDIRECT that is taken means here.
enum Forwarding {
    /// To the sender, the receiver or (outbound) ourselves: nothing to do.
    Nothing,
    /// Inbound, and we are the target.
    ForUs,
    /// To somebody else.
    To(Address),
}

impl Forwarding {
    fn of(forward: &Forward, context: &Context<'_>) -> Self {
        let target = Address::from_u64(forward.address);
        if target == context.source {
            Self::Nothing
        } else if target == context.policy.me {
            if context.inbound {
                Self::ForUs
            } else {
                Self::Nothing
            }
        } else if target == context.destination {
            Self::Nothing
        } else {
            Self::To(target)
        }
    }
}

/// Evaluates one rule set (14.3). Matches between two actions are a block and combine strictly from left to right; the
/// action is taken if its block is true.
pub fn evaluate(rules: &[Rule], context: &Context<'_>) -> Decision {
    let mut set = true;
    let mut skip_drop = false;
    let mut super_accept = false;
    let mut copy = None;
    let mut cacheable = true;
    let mut end = RuleSetResult::NoMatch;

    for rule in rules {
        let accepted = if super_accept {
            RuleSetResult::SuperAccept
        } else {
            RuleSetResult::Accept
        };
        match &rule.kind {
            RuleKind::Drop if set && skip_drop => skip_drop = false,
            RuleKind::Drop if set => {
                end = RuleSetResult::Drop;
                break;
            }
            RuleKind::Accept if set => {
                end = accepted;
                break;
            }
            RuleKind::Priority if set => {
                end = RuleSetResult::Accept;
                break;
            }
            RuleKind::Break if set => break,
            RuleKind::Tee(forward) | RuleKind::Watch(forward) if set => {
                match Forwarding::of(forward, context) {
                    Forwarding::Nothing => {}
                    Forwarding::ForUs => {
                        end = RuleSetResult::SuperAccept;
                        break;
                    }
                    Forwarding::To(target) => {
                        let whole = context.frame.payload.len();
                        copy = Some(CopyTo {
                            target,
                            length: match usize::from(forward.length) {
                                0 => whole,
                                length => length.min(whole),
                            },
                            watch: matches!(rule.kind, RuleKind::Watch(_)),
                        });
                    }
                }
            }
            RuleKind::Redirect(forward) if set => match Forwarding::of(forward, context) {
                Forwarding::Nothing => {}
                Forwarding::ForUs => {
                    end = RuleSetResult::SuperAccept;
                    break;
                }
                Forwarding::To(target) => {
                    end = RuleSetResult::Redirect(target);
                    break;
                }
            },
            RuleKind::Tee(forward) | RuleKind::Watch(forward) | RuleKind::Redirect(forward) => {
                set = true;
                super_accept |=
                    context.inbound && Address::from_u64(forward.address) == context.policy.me;
            }
            RuleKind::Drop
            | RuleKind::Accept
            | RuleKind::Break
            | RuleKind::Priority
            | RuleKind::Unknown(0..=15) => set = true,
            // An AND cannot make a false block true: it is not even looked at.
            _ if !set && !rule.or => {}
            kind => {
                let evaluated = context.matches(kind, super_accept);
                cacheable &= evaluated.stable;
                let matched = match evaluated.matched {
                    Matched::Plain(value) => value != rule.not,
                    Matched::ForcedNo => false,
                    Matched::ForcedYes => true,
                    Matched::LeaveToRemote => {
                        skip_drop = true;
                        true
                    }
                };
                set = if rule.or { set || matched } else { matched };
            }
        }
    }
    Decision {
        result: end,
        copy,
        cacheable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Address = Address::from_u64(1);
    const PEER: Address = Address::from_u64(2);
    const OBSERVER: Address = Address::from_u64(3);
    const IPV4: u16 = 0x0800;

    fn policy(rules: &[RuleKind]) -> NetworkPolicy {
        let mut config = NetworkConfig::new(NetworkId(0x2f8c_ffd3_8300_0099), ME);
        config.rules = rules.iter().copied().map(Rule::new).collect();
        NetworkPolicy::new(ME, &config)
    }

    /// An IPv4 packet of `protocol` with ports 1000 and 2000.
    fn packet(protocol: u8) -> Vec<u8> {
        let mut packet = vec![0; 60];
        packet[0] = 0x45;
        packet[9] = protocol;
        packet[20..24].copy_from_slice(&[0x03, 0xe8, 0x07, 0xd0]);
        packet
    }

    fn frame(payload: &[u8]) -> EthernetFrame<'_> {
        EthernetFrame {
            destination: MacAddress([2; 6]),
            source: MacAddress([4; 6]),
            ethertype: IPV4,
            payload,
        }
    }

    fn outbound(rules: &[RuleKind], payload: &[u8]) -> Verdict {
        policy(rules).filter_outbound(Some(PEER), None, &frame(payload), 7)
    }

    #[test]
    fn verdicts_from_the_key_of_a_flow_may_be_remembered() {
        let rules = [
            RuleKind::EtherType(IPV4),
            RuleKind::IpProtocol(6),
            RuleKind::DestinationPortRange(2000, 2000),
            RuleKind::Accept,
        ];
        let verdict = outbound(&rules, &packet(6));
        assert_eq!(verdict.action, Action::Accept);
        assert!(verdict.cacheable);
        assert!(outbound(&rules, &packet(17)).cacheable, "a drop as well");
    }

    #[test]
    fn verdicts_that_vary_within_a_flow_are_not_remembered() {
        let tcp = packet(6);
        for varying in [
            RuleKind::FrameSizeRange(0, 100),
            RuleKind::Random(u32::MAX),
            RuleKind::Characteristics(2),
            RuleKind::IpTos {
                mask: 0xff,
                start: 0,
                end: 0,
            },
            RuleKind::IntegerRange {
                start: 0,
                end: 9,
                index: 30,
                format: 7,
            },
        ] {
            assert!(
                !outbound(&[varying, RuleKind::Accept], &tcp).cacheable,
                "{varying:?}"
            );
            let unreached = [RuleKind::Accept, varying, RuleKind::Drop];
            assert!(
                outbound(&unreached, &tcp).cacheable,
                "{varying:?} was not asked"
            );
            let skipped = [
                RuleKind::IpProtocol(17),
                varying,
                RuleKind::Drop,
                RuleKind::Accept,
            ];
            assert!(
                outbound(&skipped, &tcp).cacheable,
                "{varying:?} was skipped"
            );
        }
        // Without a TCP header there are no flags that could vary.
        let verdict = outbound(&[RuleKind::Characteristics(2), RuleKind::Drop], &packet(17));
        assert!(verdict.cacheable);
        let icmp = RuleKind::Icmp {
            kind: 8,
            code: 0,
            flags: 0,
        };
        assert!(!outbound(&[icmp, RuleKind::Accept], &packet(1)).cacheable);
        assert!(outbound(&[icmp, RuleKind::Accept], &tcp).cacheable);
    }

    #[test]
    fn ports_of_later_fragments_are_not_remembered() {
        let mut fragment = packet(17);
        fragment[7] = 1;
        let rules = [RuleKind::SourcePortRange(1000, 1000), RuleKind::Accept];
        assert!(!outbound(&rules, &fragment).cacheable);
        assert!(outbound(&rules, &packet(17)).cacheable);
    }

    #[test]
    fn verdicts_with_copies_are_not_remembered() {
        let forward = Forward {
            address: OBSERVER.to_u64(),
            flags: 0,
            length: 10,
        };
        let verdict = outbound(&[RuleKind::Tee(forward), RuleKind::Accept], &packet(6));
        assert_eq!(verdict.base_copy.map(|copy| copy.length), Some(10));
        assert!(!verdict.cacheable);
        let verdict = outbound(&[RuleKind::Tee(forward), RuleKind::Drop], &packet(6));
        assert_eq!(
            verdict.base_copy, None,
            "nothing is sent of a dropped frame"
        );
    }

    #[test]
    fn no_rules_let_nothing_pass() {
        let verdict = outbound(&[], &packet(6));
        assert_eq!(verdict.action, Action::Drop);
        let verdict = policy(&[]).filter_inbound(PEER, None, &frame(&packet(6)), 0);
        assert_eq!(verdict.action, Action::Drop);
    }
}
