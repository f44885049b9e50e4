//! What the operator says of our links, and what they lose, told to peers of our kind over the very paths that it is about, and what they say of
//! theirs, told to the bond.

use bond::LinkAttributes;
use bond::config::LinkMode;
use protocol::verb::{PathAttributes, Verb};
use protocol::{Address, Instant, PacketId};

use super::super::{Received, Transport};
use super::bonded::Bonded;
use crate::timers;

/// Modes by their numbers in [`PathAttributes`].
const MODES: [LinkMode; 4] = [
    LinkMode::Primary,
    LinkMode::Secondary,
    LinkMode::Spare,
    LinkMode::Never,
];

/// What the peer is told of one path. What holds without a word needs none.
#[derive(Clone, Copy, Default)]
pub(super) struct Announcement {
    attributes: LinkAttributes,
    /// When to tell it.
    due: Option<Instant>,
    /// How often it was told since it changed.
    count: u8,
}

impl Announcement {
    /// Takes note of what is to be told: at once if that changed.
    fn update(&mut self, attributes: LinkAttributes) {
        if self.attributes != attributes {
            *self = Self {
                attributes,
                due: Some(Instant::ZERO),
                count: 0,
            };
        }
    }

    /// The peer began anew: what it was told it may not know any more.
    pub(super) fn repeat(&mut self) {
        if self.attributes != LinkAttributes::default() {
            (self.due, self.count) = (Some(Instant::ZERO), 0);
        }
    }

    /// What is to be told now: twice, since packets get lost, and from time to time as long as it is of note.
    fn poll(&mut self, now: Instant) -> Option<LinkAttributes> {
        if self.due? > now {
            return None;
        }
        self.count = self.count.saturating_add(1);
        self.due = if self.count == 1 {
            Some(now + timers::ATTRIBUTES_AGAIN)
        } else if self.attributes == LinkAttributes::default() {
            None
        } else {
            Some(now + timers::ATTRIBUTES)
        };
        Some(self.attributes)
    }
}

impl Transport {
    /// Tells the peer what is due of our links, and says when to look again.
    pub(super) fn announce_attributes(&mut self, now: Instant, peer: Address, bonded: &mut Bonded) {
        let Some(bond) = bonded.bond.as_ref().filter(|_| bonded.is_own) else {
            return;
        };
        let mut next = None;
        for (key, path) in &mut bonded.paths {
            path.announcement
                .update(bond.attributes(path.id).unwrap_or_default());
            if let Some(attributes) = path.announcement.poll(now) {
                let mode = MODES.iter().position(|mode| *mode == attributes.mode);
                let mut payload = Vec::new();
                PathAttributes {
                    mode: mode.and_then(|m| u8::try_from(m).ok()).unwrap_or(0),
                    is_metered: attributes.is_metered,
                    is_lossy: attributes.is_lossy,
                    receives: attributes.receives.unwrap_or(0),
                }
                .encode(&mut payload);
                let _sent: Option<PacketId> =
                    self.send_on_path(now, peer, *key, Verb::UserMessage, &payload, false);
            }
            next = next.into_iter().chain(path.announcement.due).min();
        }
        bonded.wake_by(now, next);
    }

    /// The peer says what its end of the path is for over which this came.
    pub(super) fn handle_attributes(
        &mut self,
        now: Instant,
        packet: &Received<'_>,
        told: &PathAttributes,
    ) {
        let Some(mode) = MODES.get(usize::from(told.mode)) else {
            return;
        };
        let Some(bonded) = self.bonds.peers.get_mut(&packet.source) else {
            return;
        };
        let path = bonded.paths.get(&packet.path).filter(|_| packet.hops == 0);
        if let (Some(path), Some(bond)) = (path, &mut bonded.bond) {
            let attributes = LinkAttributes {
                mode: *mode,
                is_metered: told.is_metered,
                is_lossy: told.is_lossy,
                receives: Some(told.receives).filter(|bits| *bits > 0),
            };
            bond.handle_attributes(path.id, attributes, now);
            self.bonds.touched.insert(packet.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_told_twice_and_what_is_of_note_again_and_again() {
        let spare = LinkAttributes {
            mode: LinkMode::Spare,
            ..LinkAttributes::default()
        };
        let mut announcement = Announcement::default();
        let mut told = Vec::new();
        for second in 0..1600 {
            let now = Instant::from_millis(1000 * second);
            if second == 700 {
                announcement.repeat();
            }
            announcement.update(match second {
                0..10 => LinkAttributes::default(),
                10..1400 => spare,
                _ => LinkAttributes::default(),
            });
            if let Some(attributes) = announcement.poll(now) {
                told.push((second, attributes == spare));
            }
        }
        let expected = [
            (10, true),
            (11, true),
            (611, true),
            (700, true),
            (701, true),
            (1301, true),
            (1400, false),
            (1401, false),
        ];
        assert_eq!(told, expected);
    }
}
