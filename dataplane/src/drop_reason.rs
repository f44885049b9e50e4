//! Why frames and packets die. A loss is not an error: it has a reason and a counter.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a frame or packet went no further.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// All reasons, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name in metrics and in `top`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// A frame from a device is shorter than an Ethernet header.
    FrameTooShort => "frame_too_short",
    /// An inbound frame is longer than its device's MTU (service specification E.1).
    FrameTooLong => "frame_too_long",
    /// An inbound frame without payload (protocol specification 10.4).
    FrameEmpty => "frame_empty",
    /// A packet would take more pieces than a receiver accepts (protocol specification 3).
    PacketTooLong => "packet_too_long",
    /// The rules say no on the way out.
    FilteredOutbound => "filtered_outbound",
    /// The rules say no on the way in.
    FilteredInbound => "filtered_inbound",
    /// A datagram is too short for what it claims to be.
    DatagramTooShort => "datagram_too_short",
    /// A packet claims to come from this node.
    FromThisNode => "from_this_node",
    /// A packet to be relayed has come too far already.
    HopLimit => "hop_limit",
    /// A cipher suite that nobody has (protocol specification 2.1).
    UnsupportedSuite => "unsupported_suite",
    /// A tag does not match: corrupted, forged, or sealed with other keys.
    BadTag => "bad_tag",
    /// The packet came before on another path.
    Duplicate => "duplicate",
    /// A fragment's numbers are out of range.
    BadFragment => "bad_fragment",
    /// Fragments of one packet add up to more than the longest packet.
    ReassemblyTooLong => "reassembly_too_long",
    /// An incomplete packet made room for a newer one.
    ReassemblyEvicted => "reassembly_evicted",
    /// The network of an inbound frame has no device.
    NoDevice => "no_device",
    /// The device took no frame: its queue is full, or it is down.
    DeviceRefused => "device_refused",
    /// The link that a path names is gone.
    NoLink => "no_link",
    /// The kernel refused a datagram (unreachable network, too long and the like).
    SendFailed => "send_failed",
    /// A socket stayed full for too long, or the send buffer has no room for a relayed packet.
    SendBlocked => "send_blocked",
    /// The control thread is behind, its ring is full.
    HandoverFull => "handover_full",
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_index_the_counters() {
        let names: BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
