//! The gate in front of proof-of-work checks (protocol specification 7.2, 5.4).

use std::net::IpAddr;

use protocol::Instant;

use crate::limits::{MAX_VALIDATIONS_PER_SECOND, VALIDATION_BUCKETS};
use crate::timers::{VALIDATION, within};

/// When an identity from each source prefix was last checked.
pub(crate) struct ValidationGate {
    buckets: Vec<Option<Instant>>,
    second: u64,
    in_second: u32,
}

impl ValidationGate {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![None; VALIDATION_BUCKETS],
            second: 0,
            in_second: 0,
        }
    }

    /// True, and remembered, if an unknown identity from `source` may be checked now.
    pub(crate) fn may_validate(&mut self, now: Instant, source: IpAddr) -> bool {
        let second = now.as_millis() / 1000;
        if second != self.second {
            self.second = second;
            self.in_second = 0;
        }
        let bucket = &mut self.buckets[prefix_hash(source)];
        if self.in_second >= MAX_VALIDATIONS_PER_SECOND || within(*bucket, now, VALIDATION) {
            return false;
        }
        *bucket = Some(now);
        self.in_second += 1;
        true
    }
}

fn prefix_hash(source: IpAddr) -> usize {
    let hash = match source {
        IpAddr::V4(ip) => {
            let top = ip.to_bits() >> 8;
            top ^ (top >> 14)
        }
        IpAddr::V6(ip) => ip.octets()[..6].iter().fold(0_u32, |hash, byte| {
            (hash << 1).wrapping_add(u32::from(*byte))
        }),
    };
    hash as usize & (VALIDATION_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_prefix_gets_one_check_in_two_seconds_and_all_together_a_limit() {
        let mut gate = ValidationGate::new();
        let at = Instant::from_millis;
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(gate.may_validate(at(1000), ip("10.0.0.1")));
        assert!(!gate.may_validate(at(2999), ip("10.0.0.2")));
        assert!(gate.may_validate(at(2999), ip("10.0.1.2")));
        assert!(gate.may_validate(at(3000), ip("10.0.0.2")));
        let passed = (0..200)
            .filter(|n| gate.may_validate(at(9000), ip(&format!("11.{n}.0.1"))))
            .count();
        assert_eq!(passed, MAX_VALIDATIONS_PER_SECOND as usize);
    }
}
