//! What moves flows, and whether anything called for it.

use std::time::Duration;

use bond::event::Trigger;
use bond::{BasePolicy, Cursor, EventKind, Pick};
use protocol::Instant;

use super::{FLOWS, LOOK, Scenario};
use crate::flows::{header, linux_flows, packet};
use crate::multipath::{A, B, seconds};

/// A flow may change its link this long after there was a cause.
const SETTLING: Duration = seconds(15);
/// `optimize` leaves a link that what is sent fills no sooner after another change; for a better score no sooner than after 15 s.
const OPTIMIZED_AFTER: Duration = seconds(2);

/// What a node's bond told of late, what it planned, and what of that moved without a cause.
pub(super) struct Causes {
    /// Events that were looked at.
    seen: usize,
    /// When it last told anything.
    told: Instant,
    /// When there was last a cause.
    cause: Instant,
    /// When active-backup last changed its link.
    changed: Instant,
    /// The link of each slot, and that of each flow.
    plan: Option<(Vec<u8>, Vec<u8>)>,
    /// How long there was no cause, and how many flows moved meanwhile.
    calm: Duration,
    moves: usize,
}

/// Something became of a path, or was found out about it. That flows move is no cause of itself; who waits to be next follows
/// from what is used; and accounts tell nothing new.
fn is_cause(event: &EventKind) -> bool {
    !matches!(
        event,
        EventKind::FlowsMoved { .. }
            | EventKind::Rebalanced { .. }
            | EventKind::ActiveChanged { .. }
            | EventKind::QueueChanged { .. }
            | EventKind::QueueEmpty
            | EventKind::Status(_)
    )
}

impl Causes {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seen: 0,
            told: now,
            cause: now,
            changed: now,
            plan: None,
            calm: Duration::ZERO,
            moves: 0,
        }
    }
}

impl Scenario {
    /// Looks at what happened since the last look. `has_changed`: some link did, or does all the time.
    pub(super) fn look_for_moves(&mut self, has_changed: bool) {
        let now = self.net.now();
        for (index, node) in [A, B].into_iter().enumerate() {
            let events = self.net.events(node);
            let news = events[self.causes[index].seen..].iter();
            let news: Vec<EventKind> = news.map(|event| (*event).clone()).collect();
            let causes = &mut self.causes[index];
            causes.seen += news.len();
            if !news.is_empty() {
                causes.told = now;
            }
            if has_changed || news.iter().any(is_cause) {
                causes.cause = now;
            }
            let is_calm = now.duration_since(causes.cause) > SETTLING;
            self.check_changes(index, &news, is_calm);
            self.check_moves(index, is_calm);
        }
    }

    /// active-backup leaves a link without a cause for a better score alone, and not often.
    fn check_changes(&mut self, index: usize, news: &[EventKind], is_calm: bool) {
        let now = self.net.now();
        for event in news {
            let EventKind::ActiveChanged { trigger, .. } = event else {
                continue;
            };
            let before = std::mem::replace(&mut self.causes[index].changed, now);
            let since = now.duration_since(before);
            let is_allowed = *trigger == Trigger::Better && since + LOOK >= OPTIMIZED_AFTER;
            assert!(
                !is_calm || is_allowed,
                "{}: {event:?}, {since:?} after the last change, without a cause",
                self.title
            );
            if is_calm {
                println!("{now:?}: {event:?}, {since:?} after the last change, without a cause");
            }
        }
    }

    /// Policies that place flows leave them where they are until there is a cause, and never move them without a word.
    fn check_moves(&mut self, index: usize, is_calm: bool) {
        let (now, node) = (self.net.now(), [A, B][index]);
        let Some(bond) = self.net.bond(node) else {
            return;
        };
        if !matches!(
            bond.base,
            BasePolicy::ActiveBackup | BasePolicy::BalanceXor | BasePolicy::BalanceAware
        ) {
            return;
        }
        let (plan, places) = (self.planned(node), self.places(node));
        let causes = &mut self.causes[index];
        let present = (plan.clone(), places.clone());
        let Some((old_plan, old_places)) = causes.plan.replace(present) else {
            return;
        };
        if now.duration_since(causes.told) > SETTLING {
            assert_eq!(
                old_plan, plan,
                "{}: node {node} moves flows and does not tell",
                self.title
            );
        }
        if is_calm {
            let pairs = old_places.iter().zip(&places);
            let moved = pairs.filter(|(old, new)| old != new).count();
            causes.calm += LOOK;
            causes.moves += match bond.base {
                BasePolicy::ActiveBackup => moved.min(1),
                _ => moved,
            };
            if bond.base == BasePolicy::BalanceXor {
                assert_eq!(
                    old_plan, plan,
                    "{}: node {node} moves flows without a cause",
                    self.title
                );
            }
        }
    }

    /// Scores and shares follow measurements, and what links lose and how late they are varies by chance: so seldom that moves
    /// flows where nothing else happens.
    pub(super) fn check_move_counts(&self) {
        for (node, causes) in [A, B].into_iter().zip(&self.causes) {
            let (calm, moves) = (causes.calm.as_secs_f64() / 60.0, causes.moves);
            let per_minute = match self.base {
                // There and back every 15 and 2 s.
                BasePolicy::ActiveBackup => 7.1,
                BasePolicy::BalanceAware => 4.0,
                _ => continue,
            };
            println!("node {node}: {moves} flows moved in {calm:.1} minutes without a cause");
            assert!(
                moves as f64 <= 1.0 + per_minute * calm,
                "{}: node {node} moved {moves} flows in {calm:.1} minutes without a cause",
                self.title
            );
        }
    }

    /// The link of each flow.
    fn places(&self, of: usize) -> Vec<u8> {
        let Some(entry) = self.net.entry(of) else {
            return Vec::new();
        };
        let (to, own) = (self.net.world.mac(A + B - of), self.net.world.mac(of));
        let header = header(to, own);
        let link = |flow| {
            let hash = entry.plan.flow_of(&header, &packet(flow, 0));
            match entry.plan.pick(hash, &mut Cursor::default()) {
                Pick::One(path) => self.link_of(of, path),
                Pick::None | Pick::All(_) => None,
            }
        };
        linux_flows(FLOWS).into_iter().filter_map(link).collect()
    }
}
