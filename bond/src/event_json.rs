//! Events as JSON: a name, a sentence, and every number in it as a field.

use std::time::Duration;

use serde_json::{Value, json};

use crate::event::{BondEvent, EventKind};

impl BondEvent {
    /// Without the time, whose wall clock the caller has. Times are milliseconds, ages null for never.
    pub fn to_json(&self) -> Value {
        let path = self.kind.path();
        let mut object = json!({
            "event": self.kind.name(),
            "peer": self.peer.to_string(),
            "policy": self.policy,
            "path": path,
            "text": self.text(),
        });
        if let Some(interface) = path.and_then(|path| path.split('/').next()) {
            object["interface"] = interface.into();
        }
        if let (Value::Object(fields), Value::Object(object)) = (fields(&self.kind), &mut object) {
            object.extend(fields);
        }
        object
    }
}

fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

fn age(time: Option<Duration>) -> Value {
    time.map_or(Value::Null, millis)
}

/// What this kind of event has to say beside its path.
fn fields(kind: &EventKind) -> Value {
    match kind {
        EventKind::BondCreated { base } => json!({"base": base.name()}),
        EventKind::BondConfigured {
            base,
            failover_interval,
            probe_interval,
            up_delay,
            down_delay,
        } => json!({
            "base": base.name(),
            "failoverInterval": millis(*failover_interval),
            "probeInterval": millis(*probe_interval),
            "upDelay": millis(*up_delay),
            "downDelay": millis(*down_delay),
        }),
        EventKind::StateChanged {
            from,
            to,
            alive_links,
            total_links,
        } => {
            json!({"from": from.name(), "to": to.name(), "aliveLinks": alive_links, "totalLinks": total_links})
        }
        EventKind::PathRefused { reason, .. } | EventKind::NoLink { reason } => {
            json!({ "reason": reason })
        }
        EventKind::TrialEnded { proven, .. } => json!({ "proven": proven }),
        EventKind::PathIneligible {
            reason,
            received_age,
            proof_age,
            ..
        } => {
            json!({"reason": reason, "receivedAge": age(*received_age), "proofAge": age(*proof_age)})
        }
        EventKind::OneWayFailure { .. } => json!({"direction": "transmit"}),
        EventKind::Link { up, errno, .. } => json!({"up": up, "errno": errno}),
        EventKind::ActiveChanged {
            from,
            to,
            trigger,
            detection,
            queue,
        } => {
            json!({"from": from, "to": to, "trigger": trigger.name(), "detection": age(*detection), "queue": queue})
        }
        EventKind::QueueChanged { queue } => json!({ "queue": queue }),
        EventKind::FlowsMoved { slots, reason } => json!({"slots": slots, "reason": reason}),
        EventKind::Rebalanced { shares } => {
            let shares: Vec<Value> = shares
                .iter()
                .map(|(path, share)| json!({"path": path, "share": f64::from(*share) / 1000.0}))
                .collect();
            json!({ "shares": shares })
        }
        EventKind::CapacityChanged { from, to, .. } => {
            json!({"from": from, "to": to, "source": "measured"})
        }
        EventKind::QualityAvoid {
            metric,
            value,
            limit,
            ..
        } => json!({"metric": metric, "value": value, "limit": limit}),
        EventKind::Punished { remaining, .. } => json!({"remaining": millis(*remaining)}),
        EventKind::PeerAttributes { attributes, .. } => {
            json!({"mode": attributes.mode.name(), "metered": attributes.is_metered, "avoidedForLoss": attributes.is_lossy, "receives": attributes.receives})
        }
        EventKind::Suppressed { count } => json!({ "count": count }),
        EventKind::Status(account) => {
            let paths: Vec<Value> = account
                .paths
                .iter()
                .map(|path| {
                    json!({"path": path.path, "target": path.target, "actual": path.actual, "bytesSent": path.sent,
                        "bytesReceived": path.received})
                })
                .collect();
            json!({"state": account.state.name(), "aliveLinks": account.alive_links, "totalLinks": account.total_links,
                "overhead": account.overhead, "paths": paths})
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Address, Instant};

    use super::*;
    use crate::account::{Account, PathAccount};
    use crate::event::Trigger;
    use crate::status::BondState;

    fn event(kind: EventKind) -> Value {
        let event = BondEvent {
            at: Instant::ZERO,
            peer: Address::from_u64(0x16_a03a_3d03),
            policy: "office".to_owned(),
            kind,
        };
        event.to_json()
    }

    #[test]
    fn numbers_are_fields() {
        let switched = event(EventKind::ActiveChanged {
            from: Some("wan1/10.0.0.2/9993".to_owned()),
            to: Some("wan2/10.0.1.2/9993".to_owned()),
            trigger: Trigger::Dead,
            detection: Some(Duration::from_millis(80)),
            queue: 1,
        });
        for (key, expected) in [
            ("event", json!("failover")),
            ("interface", json!("wan2")),
            ("from", json!("wan1/10.0.0.2/9993")),
            ("trigger", json!("dead")),
            ("detection", json!(80)),
            ("queue", json!(1)),
        ] {
            assert_eq!(switched[key], expected, "{key}");
        }
        let down = event(EventKind::Link {
            path: "wan1/10.0.0.2/9993".to_owned(),
            up: false,
            errno: Some(101),
        });
        assert_eq!(
            (&down["event"], &down["interface"]),
            (&json!("link-down"), &json!("wan1"))
        );
        assert_eq!(down["errno"], 101);
        let status = event(EventKind::Status(Account {
            state: BondState::Healthy,
            alive_links: 2,
            total_links: 2,
            overhead: 7,
            paths: vec![PathAccount {
                path: "wan1/10.0.0.2/9993".to_owned(),
                target: 0.5,
                actual: 0.25,
                sent: 10,
                received: 20,
            }],
        }));
        assert_eq!(
            (&status["event"], &status["overhead"]),
            (&json!("status"), &json!(7))
        );
        assert_eq!(status["paths"][0]["actual"], 0.25);
        assert!(
            status["text"]
                .as_str()
                .is_some_and(|text| text.contains("HEALTHY (2/2 links)"))
        );
    }
}
