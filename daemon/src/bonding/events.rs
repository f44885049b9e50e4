//! What happened to bonds: the latest events, for whoever asks, and a way to wait for more. Written by the control thread,
//! read by the API's.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

/// So many events are kept.
const CAPACITY: usize = 1024;

/// The latest events.
#[derive(Debug)]
pub struct EventLog {
    ring: Mutex<VecDeque<(u64, Bytes)>>,
    /// Number of the latest event; the first one is 1.
    latest: watch::Sender<u64>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self {
            ring: Mutex::default(),
            latest: watch::Sender::new(0),
        }
    }
}

impl EventLog {
    /// Adds an event, an object, that happened at `wall` (milliseconds since the Unix epoch).
    pub fn add(&self, wall: u64, mut event: Value) {
        let number = *self.latest.borrow() + 1;
        event["ts"] = json!(wall);
        event["seq"] = json!(number);
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == CAPACITY {
            ring.pop_front();
        }
        ring.push_back((number, Bytes::from(format!("{event}\n"))));
        drop(ring);
        self.latest.send_replace(number);
    }

    /// The events after that number, a line of JSON each, and the number of the last of them. A number that no event has
    /// yet is of a process before this one: then all of them.
    pub fn after(&self, number: u64) -> (Bytes, u64) {
        let number = if number > *self.latest.borrow() {
            0
        } else {
            number
        };
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        let mut last = number;
        for (number, line) in ring.iter().skip_while(|(other, _)| *other <= number) {
            lines.extend_from_slice(line);
            last = *number;
        }
        (lines.into(), last)
    }

    /// Tells the number of the latest event whenever there is another.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_numbered() {
        let log = EventLog::default();
        let watch = log.watch();
        for number in 0..CAPACITY as u64 + 5 {
            log.add(1000 + number, json!({"event": "x"}));
        }
        assert_eq!(*watch.borrow(), CAPACITY as u64 + 5);
        let (all, last) = log.after(0);
        let lines: Vec<&str> = std::str::from_utf8(&all).unwrap().lines().collect();
        assert_eq!(lines.len(), CAPACITY);
        assert_eq!(lines[0], r#"{"event":"x","seq":6,"ts":1005}"#);
        assert_eq!(last, CAPACITY as u64 + 5);
        assert_eq!(log.after(last), (Bytes::new(), last));
        assert_eq!(log.after(last + 1), log.after(0));
        let (some, _) = log.after(last - 2);
        assert_eq!(some.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
