//! Every interval by name (protocol specification 17).

use core::time::Duration;

use protocol::Instant;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How often peers are looked after (8.6).
pub(crate) const PING_CHECK: Duration = ms(5_000);
/// The same in low-bandwidth mode.
pub(crate) const PING_CHECK_LOW_BANDWIDTH: Duration = ms(25_000);
/// How often workers' stamps are read and plans reconsidered.
pub(crate) const ACTIVITY_CHECK: Duration = ms(1_000);
/// Housekeeping (8.8).
pub(crate) const HOUSEKEEPING: Duration = ms(30_000);
/// WHOIS per address; retry of queued packets (4.1, 4.2, 7.5).
pub(crate) const RETRY: Duration = ms(500);
/// How long a packet waits in a queue.
pub(crate) const QUEUE_LIFETIME: Duration = ms(5_000);
/// Pause between the first attempts to reach an upstream: a root looks at one unknown identity of a /24 in two seconds
/// (7.2), so of two nodes that start together one is not heard the first time.
pub(crate) const EARLY_CONTACT: Duration = ms(1_000);
/// A path that sent nothing for this long needs a heartbeat.
pub(crate) const PATH_HEARTBEAT: Duration = ms(14_000);
/// A path is alive if anything came in within this time.
pub(crate) const PATH_ALIVE: Duration = ms(19_000);
/// A path over which something came within this time needs no proof that the peer is still there.
pub(crate) const HEARD_LATELY: Duration = ms(2_000);
/// A peer's path expires when nothing authentic came over it for this long.
pub(crate) const PATH_EXPIRY: Duration = ms(243_000);
/// A peer is alive, and active, within this time.
pub(crate) const PEER_ALIVE: Duration = ms(500_000);
/// Trust lasts this long after an admitted packet.
pub(crate) const TRUST: Duration = ms(600_000);
/// Full HELLO to each peer that is kept alive.
pub(crate) const FULL_HELLO: Duration = ms(60_000);
/// The same to a peer with which we have a bond, over one path: the bond asks its paths itself.
pub(crate) const FULL_HELLO_BONDED: Duration = ms(300_000);
/// Unit of patience with upstreams and anchors (8.6).
pub(crate) const CONTACT_UNIT: Duration = ms(14_000);
/// Confirming HELLO per path (8.3).
pub(crate) const CONFIRM: Duration = ms(1_000);
/// Answered ECHO per path (7.9).
pub(crate) const ECHO: Duration = ms(166);
/// Answered ECHO of a node of our kind per path: such nodes send one per 20 ms at most, and some arrive closer together.
pub(crate) const OWN_ECHO: Duration = ms(10);
/// Answered WHOIS per peer (7.5).
pub(crate) const WHOIS_ANSWER: Duration = ms(100);
/// Proof-of-work check per source prefix (7.2), as on x86-64.
pub(crate) const VALIDATION: Duration = ms(2_000);
/// Push of direct paths after a direct packet (9.2).
pub(crate) const PUSH_DIRECT: Duration = ms(120_000);
/// Push of direct paths after a relayed packet (9.2).
pub(crate) const PUSH_RELAYED: Duration = ms(15_000);
/// Pushes with shorter pauses count as a row (9.2).
pub(crate) const PUSH_WINDOW: Duration = ms(30_000);
/// Introduction per pair of peers (9.4).
pub(crate) const INTRODUCTION: Duration = ms(30_000);
/// Configured hint tried per peer (8.7).
pub(crate) const HINT: Duration = ms(30_000);
/// Lifetime of a report of our own address (9.1).
pub(crate) const SURFACE: Duration = ms(600_000);
/// Answered beacon (4.1).
pub(crate) const BEACON: Duration = ms(2_500);
/// Unit of an upstream's silence in the choice of the best (9.5).
pub(crate) const UPSTREAM_SILENCE: u64 = 61_000;
/// Age beyond which a path's quality does not get worse (8.5), ms.
pub(crate) const PATH_AGE_CAP: u64 = 140_000;
/// At most one snapshot per this time.
pub(crate) const PUBLISH: Duration = ms(10);
/// The shortest time that the networks' timers are let alone.
pub(crate) const GRANULARITY: Duration = ms(60);

/// The shortest time that a bond is let alone.
pub(crate) const BOND_GRANULARITY: Duration = ms(1);
/// What was told of a link is told again after this, in case the first packet was lost,
pub(crate) const ATTRIBUTES_AGAIN: Duration = ms(1000);
/// and then so often: less than half of the time after which a bond forgets it.
pub(crate) const ATTRIBUTES: Duration = ms(600_000);
/// Accepted QOS_MEASUREMENT per path. 1.14.1 sends one as soon as it has looked and has 140 records.
pub(crate) const QOS_GATE: Duration = ms(10);
/// How long an accepted QOS_MEASUREMENT waits: workers tell of what they sent up to 100 ms late, and what the peer reports
/// before that would seem unknown now and lost later.
pub(crate) const QOS_SETTLE: Duration = ms(200);
/// Our QOS_MEASUREMENT per path for a peer with which we have no bond.
pub(crate) const QOS_REPORT: Duration = ms(2_000);
/// How long a peer that sent QOS_MEASUREMENT is taken to have a bond.
pub(crate) const QOS_MEMORY: Duration = ms(60_000);
/// How long a peer with which we have no bond gets reports before a pause.
pub(crate) const QOS_TURN: Duration = ms(300_000);
/// The pause: longer than [`QOS_MEMORY`], so that two nodes that merely answer each other come to rest; and shorter than the
/// 600 s after which a bond of 1.14.1 gives up a path without reports.
pub(crate) const QOS_PAUSE: Duration = ms(70_000);

/// How often a peer of our kind reports what arrives.
pub(crate) const REPORT: Duration = ms(100);
/// How long it goes on without being asked again, and how often it is asked: before the first report, and then.
pub(crate) const REPORT_LIFETIME: Duration = ms(3_000);
pub(crate) const REPORT_REQUEST_RETRY: Duration = ms(250);
pub(crate) const REPORT_REQUEST: Duration = ms(1_000);
/// Reports are wanted while frames were sent within this time.
pub(crate) const REPORTED_TRAFFIC: Duration = ms(2_000);
/// How long what arrived is remembered after the last request.
pub(crate) const REPORT_MEMORY: Duration = ms(30_000);
/// How long after a broadcast all packets are expected to come several times.
pub(crate) const BROADCAST_MEMORY: Duration = ms(10_000);
/// Lanes on which nothing arrived for so long are left out of reports: the sender knows their numbers.
pub(crate) const SILENT_LANE: Duration = ms(2_000);
/// What is assumed of a path whose round trip was not measured.
pub(crate) const UNKNOWN_ROUND_TRIP: Duration = ms(200);

/// A bonded peer's path is left by those who have no bond with it after so long a silence,
pub(crate) const FOLLOW_SILENCE: Duration = ms(500);
/// for one on which the peer was heard so lately,
pub(crate) const FOLLOW_HEARD: Duration = ms(100);
/// at most this often: with little traffic each path is silent now and then.
pub(crate) const FOLLOW_REST: Duration = ms(2_000);

/// `then` lies less than `window` before `now`.
pub(crate) fn within(then: Option<Instant>, now: Instant, window: Duration) -> bool {
    then.is_some_and(|then| now.duration_since(then) < window)
}

/// At least `interval` has passed since `then`, or it never was.
pub(crate) fn due(then: Option<Instant>, now: Instant, interval: Duration) -> bool {
    !within(then, now, interval)
}

/// Milliseconds since `then`.
pub(crate) fn millis_since(then: Instant, now: Instant) -> u64 {
    u64::try_from(now.duration_since(then).as_millis()).unwrap_or(u64::MAX)
}
