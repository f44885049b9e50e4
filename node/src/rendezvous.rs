//! Who was introduced to whom lately (protocol specification 9.3, 9.4).

use std::collections::BTreeMap;

use protocol::{Address, Instant};

use crate::limits::MAX_INTRODUCTIONS;
use crate::timers::{INTRODUCTION, within};

/// Unordered pairs and when they were introduced.
#[derive(Default)]
pub(crate) struct Introductions {
    pairs: BTreeMap<(Address, Address), Instant>,
}

impl Introductions {
    /// True, and remembered, if the pair may be introduced now.
    pub(crate) fn may_introduce(&mut self, now: Instant, a: Address, b: Address) -> bool {
        let pair = (a.min(b), a.max(b));
        if within(self.pairs.get(&pair).copied(), now, INTRODUCTION) {
            return false;
        }
        if self.pairs.len() >= MAX_INTRODUCTIONS && !self.pairs.contains_key(&pair) {
            return false;
        }
        self.pairs.insert(pair, now);
        true
    }

    /// Drops what may happen again.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.pairs
            .retain(|_, at| within(Some(*at), now, INTRODUCTION));
    }
}
