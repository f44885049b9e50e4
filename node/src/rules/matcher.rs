//! Does one match hold? One function per kind (protocol specification 14.3).

use std::net::Ipv6Addr;

use protocol::network_config::FLAG_UNKNOWN_MATCH_IS_TRUE;
use protocol::rule::{RuleKind, TagValue};

use super::context::{Context, characteristic, mask_ipv6, within_ipv4};

/// The outcome of a match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Matched {
    /// Subject to the rule's NOT.
    Plain(bool),
    /// False, whatever NOT says.
    ForcedNo,
    /// True, whatever NOT says.
    ForcedYes,
    /// True, whatever NOT says, and the next DROP taken is skipped: the remote side decides, since only it knows its tag.
    LeaveToRemote,
}
use Matched::{ForcedNo, ForcedYes, LeaveToRemote, Plain};

/// What a match looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Evaluated {
    pub(super) matched: Matched,
    /// The outcome is the same for all frames of a flow.
    pub(super) stable: bool,
}

impl Context<'_> {
    /// Evaluates a match. `super_accept`: this node is the target of an earlier block's TEE, WATCH or REDIRECT.
    pub(super) fn matches(&self, kind: &RuleKind, super_accept: bool) -> Evaluated {
        let stable = |matched| Evaluated {
            matched,
            stable: true,
        };
        let varying = |matched| Evaluated {
            matched,
            stable: false,
        };
        match *kind {
            RuleKind::SourceAddress(address) => stable(Plain(self.source == address)),
            RuleKind::DestinationAddress(address) => stable(Plain(self.destination == address)),
            RuleKind::VlanId(id) => stable(Plain(self.vlan_id == id)),
            RuleKind::VlanPcp(value) | RuleKind::VlanDei(value) => stable(Plain(value == 0)),
            RuleKind::MacSource(mac) => stable(Plain(self.frame.source == mac)),
            RuleKind::MacDestination(mac) => stable(Plain(self.frame.destination == mac)),
            RuleKind::EtherType(ethertype) => stable(Plain(self.frame.ethertype == ethertype)),
            RuleKind::Ipv4Source(network, bits) => self.ipv4_in(12, network, bits),
            RuleKind::Ipv4Destination(network, bits) => self.ipv4_in(16, network, bits),
            RuleKind::Ipv6Source(network, bits) => self.ipv6_in(8, network, bits),
            RuleKind::Ipv6Destination(network, bits) => self.ipv6_in(24, network, bits),
            RuleKind::IpTos { mask, start, end } => varying(self.type_of_service(mask, start, end)),
            RuleKind::IpProtocol(protocol) => Evaluated {
                matched: self
                    .upper()
                    .map_or(ForcedNo, |upper| Plain(upper.protocol == protocol)),
                stable: self.is_whole_ip(),
            },
            RuleKind::Icmp { kind, code, flags } => self.icmp(kind, code, flags),
            RuleKind::SourcePortRange(start, end) => self.port(|(source, _)| source, start, end),
            RuleKind::DestinationPortRange(start, end) => {
                self.port(|(_, destination)| destination, start, end)
            }
            RuleKind::Characteristics(mask) => self.has_characteristics(mask),
            RuleKind::FrameSizeRange(start, end) => varying(Plain(
                (usize::from(start)..=usize::from(end)).contains(&self.frame.payload.len()),
            )),
            RuleKind::Random(value) => varying(Plain(self.random <= value)),
            RuleKind::TagsDifference(tag) => {
                stable(self.tags(tag, super_accept, |a, b| a.abs_diff(b) <= tag.value))
            }
            RuleKind::TagsBitwiseAnd(tag) => {
                stable(self.tags(tag, super_accept, |a, b| a & b == tag.value))
            }
            RuleKind::TagsBitwiseOr(tag) => {
                stable(self.tags(tag, super_accept, |a, b| a | b == tag.value))
            }
            RuleKind::TagsBitwiseXor(tag) => {
                stable(self.tags(tag, super_accept, |a, b| a ^ b == tag.value))
            }
            RuleKind::TagsEqual(tag) => {
                stable(self.tags(tag, super_accept, |a, b| a == tag.value && b == tag.value))
            }
            RuleKind::TagSender(tag) => stable(self.tag_of_one(tag, super_accept, self.inbound)),
            RuleKind::TagReceiver(tag) => stable(self.tag_of_one(tag, super_accept, !self.inbound)),
            RuleKind::IntegerRange {
                start,
                end,
                index,
                format,
            } => {
                let value = integer(self.frame.payload, usize::from(index), format);
                varying(Plain((start..=end).contains(&value)))
            }
            RuleKind::Unknown(_) => {
                stable(Plain(self.policy.flags & FLAG_UNKNOWN_MATCH_IS_TRUE != 0))
            }
            // Actions are not matches; the evaluator never asks.
            RuleKind::Drop
            | RuleKind::Accept
            | RuleKind::Tee(_)
            | RuleKind::Watch(_)
            | RuleKind::Redirect(_)
            | RuleKind::Break
            | RuleKind::Priority => stable(ForcedNo),
        }
    }

    /// Not IP at all, or IP that could be parsed: then the flow's key tells what IP rules see.
    fn is_whole_ip(&self) -> bool {
        self.upper().is_some()
            || !matches!(
                self.frame.ethertype,
                bond::flow::ETHERTYPE_IPV4 | bond::flow::ETHERTYPE_IPV6
            )
    }

    fn ipv4_in(&self, at: usize, network: std::net::Ipv4Addr, bits: u8) -> Evaluated {
        Evaluated {
            matched: if self.is_ipv4() {
                Plain(within_ipv4(self.bytes(at), network, bits))
            } else {
                ForcedNo
            },
            stable: self.is_whole_ip(),
        }
    }

    /// Unlike IPv4, a rule with host bits set matches nothing.
    fn ipv6_in(&self, at: usize, network: Ipv6Addr, bits: u8) -> Evaluated {
        Evaluated {
            matched: if self.is_ipv6() {
                let ip = Ipv6Addr::from(self.bytes::<16>(at));
                Plain(ip.to_bits() & mask_ipv6(bits) == network.to_bits())
            } else {
                ForcedNo
            },
            stable: self.is_whole_ip(),
        }
    }

    fn type_of_service(&self, mask: u8, start: u8, end: u8) -> Matched {
        let value = if self.is_ipv4() {
            self.byte(1)
        } else if self.is_ipv6() {
            self.byte(0) << 4 | self.byte(1) >> 4
        } else {
            return ForcedNo;
        };
        Plain((start..=end).contains(&(value & mask)))
    }

    /// Type and code must both be there, even if only the type counts.
    fn icmp(&self, kind: u8, code: u8, flags: u8) -> Evaluated {
        let header = self.upper().filter(|upper| {
            let icmp = if self.is_ipv4() { 1 } else { 58 };
            upper.protocol == icmp && upper.offset + 1 < self.frame.payload.len()
        });
        let matched = match header {
            Some(upper) if self.byte(upper.offset) == kind => {
                if flags & 1 == 0 {
                    ForcedYes
                } else {
                    Plain(self.byte(upper.offset + 1) == code)
                }
            }
            _ => ForcedNo,
        };
        let other_protocol = self
            .upper()
            .is_none_or(|upper| !matches!(upper.protocol, 1 | 58));
        Evaluated {
            matched,
            stable: other_protocol && self.is_whole_ip(),
        }
    }

    fn port(&self, select: fn((u16, u16)) -> u16, start: u16, end: u16) -> Evaluated {
        let Some(upper) = self.upper() else {
            return Evaluated {
                matched: ForcedNo,
                stable: self.is_whole_ip(),
            };
        };
        let port = upper.ports(self.frame.payload).map(select);
        // What stands for the ports of an IPv6 packet without any is 0, so 0 cannot be told from none.
        let port = port.filter(|port| self.is_ipv4() || *port != 0);
        Evaluated {
            matched: Plain(port.is_some_and(|port| (start..=end).contains(&port))),
            stable: !self.has_ports_outside_the_flow(),
        }
    }

    /// A protocol with ports, but this frame's are cut off or are those of a later fragment.
    fn has_ports_outside_the_flow(&self) -> bool {
        self.upper().is_some_and(|upper| {
            let later_fragment = self.is_ipv4() && u16::from_be_bytes(self.bytes(6)) & 0x1fff != 0;
            matches!(upper.protocol, 6 | 17 | 132 | 136)
                && (later_fragment || upper.ports(self.frame.payload).is_none())
        })
    }

    fn has_characteristics(&self, mask: u64) -> Evaluated {
        let reads_tcp = mask & characteristic::TCP != 0 && self.is_tcp();
        // ARP and neighbour discovery name the sender inside the message.
        let reads_sender = mask & characteristic::SENDER_IP_AUTHENTICATED != 0
            && self.upper().is_none_or(|upper| upper.protocol == 58);
        Evaluated {
            matched: Plain(self.characteristics(mask) != 0),
            stable: !reads_tcp && !reads_sender && self.is_whole_ip(),
        }
    }

    /// Matches that compare our tag with the other side's.
    fn tags(
        &self,
        tag: TagValue,
        super_accept: bool,
        compare: impl FnOnce(u32, u32) -> bool,
    ) -> Matched {
        let Some(own) = self.own_tag(tag.id) else {
            return ForcedNo;
        };
        match self.remote_tag(tag.id) {
            Some(remote) => Plain(compare(own, remote)),
            None if self.inbound && !super_accept => ForcedNo,
            None => LeaveToRemote,
        }
    }

    /// TAG_SENDER and TAG_RECEIVER; `of_remote`: that is the other side.
    fn tag_of_one(&self, tag: TagValue, super_accept: bool, of_remote: bool) -> Matched {
        if super_accept {
            return LeaveToRemote;
        }
        let value = if of_remote {
            self.remote_tag(tag.id)
        } else {
            self.own_tag(tag.id)
        };
        match value {
            Some(value) => Plain(value == tag.value),
            None if of_remote && !self.inbound => LeaveToRemote,
            None => ForcedNo,
        }
    }
}

/// The integer that MATCH_INTEGER_RANGE reads; 0 if it lies outside the frame.
fn integer(payload: &[u8], index: usize, format: u8) -> u64 {
    let bits = u32::from(format & 63) + 1;
    let bytes = bits.div_ceil(8) as usize;
    let little_endian = format & 0x80 != 0;
    let mut word = [0; 8];
    if little_endian {
        let Some(source) = payload.get(index..index + bytes) else {
            return 0;
        };
        word[..bytes].copy_from_slice(source);
        // The most significant bits of the bytes count.
        u64::from_le_bytes(word) >> (8 * bytes as u32 - bits)
    } else {
        let Some(source) = payload.get(index + 8 - bytes..index + 8) else {
            return 0;
        };
        word[8 - bytes..].copy_from_slice(source);
        u64::from_be_bytes(word) & (u64::MAX >> (64 - bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_cut_to_their_bits() {
        let payload = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xff];
        assert_eq!(integer(&payload, 0, 63), 0x1234_5678_9abc_deff);
        // Big-endian integers end at index + 8.
        assert_eq!(integer(&payload, 0, 15), 0xdeff);
        assert_eq!(integer(&payload, 0, 2), 0xff & 7);
        assert_eq!(integer(&payload, 0, 0x80 | 15), 0x3412);
        // Little-endian: 4 bits are the upper half of one byte.
        assert_eq!(integer(&payload, 1, 0x80 | 3), 3);
    }

    #[test]
    fn integers_outside_the_frame_are_zero() {
        let payload = [0xff; 8];
        assert_eq!(integer(&payload, 1, 15), 0);
        assert_eq!(integer(&payload, 7, 0x80 | 15), 0);
        assert_eq!(integer(&payload, 65535, 0xff), 0);
        assert_eq!(integer(&[], 0, 0), 0);
    }
}
