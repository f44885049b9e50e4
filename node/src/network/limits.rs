//! Every bound and timer of the networks in one place (protocol specification 17).

use core::time::Duration;

/// Members remembered per network. Beyond it those that were quiet longest are forgotten; they prove themselves anew.
pub(super) const MAX_MEMBERS: usize = 16_384;
/// Tags, capabilities and revocations each, per member; a configuration may carry 128 tags and 128 capabilities.
pub(super) const MAX_CREDENTIALS: usize = 128;
/// Ownership certificates per member; a configuration carries 4.
pub(super) const MAX_OWNERSHIP: usize = 16;
/// Multicast memberships remembered, of all groups of all networks together.
pub(super) const MAX_MULTICAST_MEMBERS: usize = 262_144;
/// Multicast memberships remembered of one node, so that no node can fill the table alone.
pub(super) const MAX_GROUPS_PER_NODE: u32 = 8_192;
/// Members of one group that others may tell us of; a multicast goes to some dozens. Those who announce themselves come on
/// top.
pub(super) const MAX_GATHERED: usize = 4_096;
/// Groups that are remembered because we sent to them.
pub(super) const MAX_GROUPS: usize = MAX_MULTICAST_MEMBERS + 65_536;
/// Groups that bridged hosts may make us listen to, per network.
pub(super) const MAX_BRIDGED_GROUPS: usize = 4_096;
/// MAC addresses behind bridges, per network. The reference allows 67108864; this bounds memory to some megabytes.
pub(super) const MAX_BRIDGE_ROUTES: usize = 65_536;
/// Members that our controller vouches for towards the multicast tables.
pub(super) const MAX_AUTHORISED: usize = 65_536;
/// Nodes whose credential packets are timed.
pub(super) const MAX_GATES: usize = 65_536;
/// Multicasts per group that wait for members.
pub(super) const MAX_QUEUED_PER_GROUP: usize = 32;
/// Waiting multicasts in all.
pub(super) const MAX_QUEUED: usize = 1_024;
/// Nodes asked by one explicit gather.
pub(super) const MAX_GATHER_PEERS: usize = 16;
/// Bridges that a frame for an unknown MAC address is sent to.
pub(super) const MAX_FLOODED_BRIDGES: usize = 32;
/// Addresses in one gather result, so that the answer stays within a packet.
pub(super) const MAX_GATHER_RESULT: usize = 1_900;
/// Payload of a packet that surely reaches the other side: 7 pieces at the default path MTU.
pub(super) const MAX_PAYLOAD: usize = 9_800;
/// Longest Ethernet payload that a network carries.
pub(super) const MAX_FRAME_PAYLOAD: usize = 10_000;

/// An embedded controller ignores requests that follow each other faster.
pub(super) const REQUEST_SPACING: Duration = Duration::from_millis(1_100);
/// Age at which a configuration is refreshed.
pub(super) const CONFIG_REFRESH: Duration = Duration::from_secs(60);
/// Receivers drop credentials that follow each other faster (protocol specification 7.11).
pub(super) const CREDENTIALS_RECEIVE_GATE: Duration = Duration::from_millis(1_000);
/// The same as a sender, with room for a queue on the way.
pub(super) const CREDENTIALS_PUSH_GATE: Duration = Duration::from_millis(1_100);
/// How long signatures from a node are not checked after one that was wrong.
pub(super) const FORGERY_PAUSE: Duration = Duration::from_millis(1_000);
/// Credentials are sent anew after this long even if the configuration is the same.
pub(super) const CREDENTIALS_LIFETIME: Duration = Duration::from_secs(500);
/// How long after a new configuration a member may still be served with the credentials of the one before, while the
/// packets for several networks wait for their turns.
pub(super) const CREDENTIALS_GRACE: Duration = Duration::from_secs(15);
/// A member counts as talked to while the last frame to it is younger: two refreshes of the configuration and a bit.
pub(super) const RECENT_TRAFFIC: Duration = Duration::from_secs(130);
/// A member without proof of anything is forgotten after this long without a frame.
pub(super) const IDLE_MEMBER: Duration = Duration::from_secs(3_600);
/// Multicast announcements, and explicit gathers of one group.
pub(super) const ANNOUNCEMENT: Duration = Duration::from_secs(60);
/// Lifetime of a multicast membership.
pub(super) const MULTICAST_MEMBER_LIFETIME: Duration = Duration::from_secs(600);
/// Lifetime of a multicast that waits for members.
pub(super) const QUEUED_LIFETIME: Duration = Duration::from_secs(5);
/// Lifetime of a group learned from a bridged host.
pub(super) const BRIDGED_GROUP_LIFETIME: Duration = Duration::from_secs(1_200);
/// How long our controller's word for a member counts.
pub(super) const AUTHORISATION_LIFETIME: Duration = Duration::from_secs(180);
/// Period of the search for what has expired.
pub(super) const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// Period at which the workers' stamps are read.
pub(super) const STAMP_PERIOD: Duration = Duration::from_secs(1);
