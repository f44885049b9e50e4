//! The table of verbs, and each verb's payload as a value (protocol specification 7).
//!
//! A payload is what follows the verb byte. `decode` reads a payload, `encode` appends one.

mod attributes;
mod configuration;
mod credentials;
mod delivery;
mod features;
mod frame;
mod hello;
mod measurement;
mod message;
mod multicast;
mod path;
mod reply;

pub use attributes::PathAttributes;
pub use configuration::{NetworkConfigAcknowledgement, NetworkConfigRequest};
pub use credentials::NetworkCredentials;
pub use delivery::{ArrivalReport, LaneReport, ReportRequest};
pub use features::Features;
pub use frame::{EXT_FRAME_SEND_OK, ExtFrame, FRAME_HEADER_LENGTH, Frame};
pub use hello::{Hello, HelloMoon, OkHello};
pub use measurement::{
    MAX_QOS_RECORDS, PathNegotiationRequest, QosRecord, ReceiptAcknowledgement, decode_qos,
    encode_qos,
};
pub use message::{UserMessage, decode_traces, encode_traces};
pub use multicast::{
    GatherResult, LIKE_LENGTH, Like, MulticastFrame, MulticastGather, OkMulticastFrame,
    decode_likes, encode_like,
};
pub use path::{DirectPath, Rendezvous, decode_direct_paths, decode_whois, encode_direct_paths};
pub use reply::{ErrorBody, ErrorCode, InReply};

/// Kinds of packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
#[repr(u8)]
pub enum Verb {
    Nop = 0x00,
    Hello = 0x01,
    Error = 0x02,
    Ok = 0x03,
    Whois = 0x04,
    Rendezvous = 0x05,
    Frame = 0x06,
    ExtFrame = 0x07,
    Echo = 0x08,
    MulticastLike = 0x09,
    NetworkCredentials = 0x0a,
    NetworkConfigRequest = 0x0b,
    NetworkConfig = 0x0c,
    MulticastGather = 0x0d,
    MulticastFrame = 0x0e,
    PushDirectPaths = 0x10,
    Ack = 0x12,
    QosMeasurement = 0x13,
    UserMessage = 0x14,
    RemoteTrace = 0x15,
    PathNegotiationRequest = 0x16,
}

/// The bits of the verb byte that hold the verb.
const VERB_MASK: u8 = 0x1f;

impl Verb {
    /// All verbs, by number.
    pub const ALL: [Self; 21] = [
        Self::Nop,
        Self::Hello,
        Self::Error,
        Self::Ok,
        Self::Whois,
        Self::Rendezvous,
        Self::Frame,
        Self::ExtFrame,
        Self::Echo,
        Self::MulticastLike,
        Self::NetworkCredentials,
        Self::NetworkConfigRequest,
        Self::NetworkConfig,
        Self::MulticastGather,
        Self::MulticastFrame,
        Self::PushDirectPaths,
        Self::Ack,
        Self::QosMeasurement,
        Self::UserMessage,
        Self::RemoteTrace,
        Self::PathNegotiationRequest,
    ];

    /// The verb of the low five bits of a verb byte; none for unused numbers, which are treated like NOP.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte & VERB_MASK {
            0x00 => Self::Nop,
            0x01 => Self::Hello,
            0x02 => Self::Error,
            0x03 => Self::Ok,
            0x04 => Self::Whois,
            0x05 => Self::Rendezvous,
            0x06 => Self::Frame,
            0x07 => Self::ExtFrame,
            0x08 => Self::Echo,
            0x09 => Self::MulticastLike,
            0x0a => Self::NetworkCredentials,
            0x0b => Self::NetworkConfigRequest,
            0x0c => Self::NetworkConfig,
            0x0d => Self::MulticastGather,
            0x0e => Self::MulticastFrame,
            0x10 => Self::PushDirectPaths,
            0x12 => Self::Ack,
            0x13 => Self::QosMeasurement,
            0x14 => Self::UserMessage,
            0x15 => Self::RemoteTrace,
            0x16 => Self::PathNegotiationRequest,
            _ => return None,
        })
    }

    /// Lower-case name as the metrics spell it (`ext_frame`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nop => "nop",
            Self::Hello => "hello",
            Self::Error => "error",
            Self::Ok => "ok",
            Self::Whois => "whois",
            Self::Rendezvous => "rendezvous",
            Self::Frame => "frame",
            Self::ExtFrame => "ext_frame",
            Self::Echo => "echo",
            Self::MulticastLike => "multicast_like",
            Self::NetworkCredentials => "network_credentials",
            Self::NetworkConfigRequest => "network_config_request",
            Self::NetworkConfig => "network_config",
            Self::MulticastGather => "multicast_gather",
            Self::MulticastFrame => "multicast_frame",
            Self::PushDirectPaths => "push_direct_paths",
            Self::Ack => "ack",
            Self::QosMeasurement => "qos",
            Self::UserMessage => "user_message",
            Self::RemoteTrace => "remote_trace",
            Self::PathNegotiationRequest => "path_negotiation_request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_five_bits_name_the_verb() {
        for verb in Verb::ALL {
            assert_eq!(Verb::from_byte(verb as u8), Some(verb));
            assert_eq!(Verb::from_byte(verb as u8 | 0xe0), Some(verb));
        }
        let unused = (0..32)
            .filter(|byte| Verb::from_byte(*byte).is_none())
            .count();
        assert_eq!(unused, 32 - Verb::ALL.len());
    }
}
