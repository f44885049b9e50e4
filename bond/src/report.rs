//! The bond's status.

use std::time::Duration;

use protocol::Instant;

use crate::bond::Bond;
use crate::config::{BasePolicy, Speed};
use crate::failover::Phase;
use crate::policy::Fitness;
use crate::status::{BondStatus, CapacitySource, PathStatus};

impl Bond {
    /// For the operator.
    pub fn status(&self, now: Instant) -> BondStatus {
        let (state, alive_links, total_links) = self.state_now();
        let used = self.used();
        let targets = self.slots.targets();
        // An idle bond doubles its first packets over two paths, whatever the targets.
        let in_force = !targets.is_empty() && targets.keys().eq(used.keys());
        let age = |at: Option<Instant>| at.map(|at| now.duration_since(at));
        let paths = self.members.values().map(|member| {
            let id = member.info.id;
            let (fitness, condition) = member.condition(now);
            let capacity = match member.speed() {
                Some(Speed::Relative(speed)) => Some((u64::from(speed), CapacitySource::Declared)),
                Some(Speed::BitsPerSecond(bits)) => Some((bits, CapacitySource::Declared)),
                None => member
                    .quality
                    .capacity
                    .get()
                    .map(|(bits, reported)| match reported {
                        true => (bits, CapacitySource::Measured),
                        false => (bits, CapacitySource::Estimated),
                    }),
            };
            let mut punishment = member.life.punishment;
            punishment.advance(member.life.phase == Phase::Up, now);
            PathStatus {
                id,
                interface: member.info.interface.clone(),
                local: member.info.local,
                remote: member.info.remote,
                mode: member.mode(),
                alive: member.life.phase == Phase::Up,
                eligible: fitness < Fitness::Waiting,
                bonded: used.contains_key(&id),
                active: self.settings.base == BasePolicy::ActiveBackup
                    && self.active.path == Some(id),
                preferred: member.rule.preferred,
                condition,
                latency: member.quality.latency(),
                latency_max: member.quality.latency_max(),
                variation: member.quality.variation(),
                loss: member.quality.loss(now).0,
                error_ratio: member.quality.error_ratio(now).0,
                availability: member.quality.availability(now),
                capacity,
                quality: member.relative_quality.into(),
                allocation: match targets.get(&id) {
                    Some(share) if in_force => *share,
                    _ => used.get(&id).copied().unwrap_or(0.0),
                },
                slots: self.slots.count(id),
                bytes: member.bytes,
                rates: (
                    member.sent_rate.at(now) as u64,
                    member.received_rate.at(now) as u64,
                ),
                received_age: age(member.life.last_received),
                sent_age: age(member.last_sent),
                proof_age: age(member.life.last_proof),
                punishment: punishment.remaining(),
            }
        });
        BondStatus {
            peer: self.peer,
            base: self.settings.base,
            policy_name: self.settings.name.clone(),
            state,
            alive_links,
            total_links,
            failover_interval: if self.traits.is_stock {
                self.settings
                    .failover_interval
                    .max(Duration::from_millis(500))
            } else {
                self.settings.failover_interval
            },
            up_delay: self.settings.up_delay,
            down_delay: self.settings.down_delay,
            packets_per_link: self.settings.packets_per_link,
            link_select: self.settings.link_select,
            queue: self.queue.clone(),
            paths: paths.collect(),
        }
    }
}
