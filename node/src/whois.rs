//! Which identities were asked for, so that an address is asked for at most twice a second (protocol specification 7.5).

use std::collections::BTreeMap;

use protocol::{Address, Instant};

use crate::limits::MAX_WHOIS;
use crate::timers::{RETRY, within};

/// Addresses asked for within the last half second.
#[derive(Default)]
pub(crate) struct WhoisGate {
    asked: BTreeMap<Address, Instant>,
    /// The table is full until then: a packet can name two thousand addresses, and not each may cost a search.
    full_until: Instant,
}

impl WhoisGate {
    /// True, and remembered, if `address` may be asked for now.
    pub(crate) fn may_ask(&mut self, now: Instant, address: Address) -> bool {
        if within(self.asked.get(&address).copied(), now, RETRY) {
            return false;
        }
        if self.asked.len() >= MAX_WHOIS {
            if now < self.full_until {
                return false;
            }
            self.asked.retain(|_, at| within(Some(*at), now, RETRY));
            if self.asked.len() >= MAX_WHOIS {
                let oldest = self.asked.values().min();
                self.full_until = oldest.map_or(now, |at| *at + RETRY);
                return false;
            }
        }
        self.asked.insert(address, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_twice_a_second_and_the_table_is_bounded() {
        let mut gate = WhoisGate::default();
        let address = Address::from_u64(1);
        assert!(gate.may_ask(Instant::from_millis(1), address));
        assert!(!gate.may_ask(Instant::from_millis(500), address));
        assert!(gate.may_ask(Instant::from_millis(501), address));
        let asked = (0..2000)
            .filter(|n| gate.may_ask(Instant::from_millis(501), Address::from_u64(100 + n)))
            .count();
        assert_eq!(asked, MAX_WHOIS - 1);
        assert!(gate.may_ask(Instant::from_millis(1001), Address::from_u64(5000)));
    }

    #[test]
    fn a_full_table_is_searched_once_and_has_room_when_the_first_has_expired() {
        let mut gate = WhoisGate::default();
        let at = Instant::from_millis;
        for n in 0..MAX_WHOIS as u64 {
            assert!(gate.may_ask(at(1000 + n.min(100)), Address::from_u64(1 + n)));
        }
        assert!(!gate.may_ask(at(1200), Address::from_u64(9000)));
        assert_eq!(gate.full_until, at(1500));
        // Nothing is looked for before that.
        gate.asked.values_mut().for_each(|asked| *asked = at(1));
        assert!(!gate.may_ask(at(1499), Address::from_u64(9001)));
        assert!(gate.may_ask(at(1500), Address::from_u64(9002)));
        assert_eq!(gate.asked.len(), 1);
    }
}
