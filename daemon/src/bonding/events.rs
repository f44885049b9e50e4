//! What happened to bonds: the latest events, for whoever asks, and a way to wait for more. Written by the control thread,
//! read by the API's.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

/// So many events are kept.
const CAPACITY: usize = 1024;

/// An event.
#[derive(Debug)]
struct Entry {
    number: u64,
    line: Bytes,
    /// The next one with this key takes its place.
    key: Option<String>,
}

/// The latest events.
#[derive(Debug)]
pub struct EventLog {
    ring: Mutex<VecDeque<Entry>>,
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
    pub fn add(&self, wall: u64, event: Value) {
        self.push(wall, event, None);
    }

    /// The same, of a kind of which only the latest with this key is kept: what happens often shall not displace what
    /// happens rarely.
    pub fn replace(&self, wall: u64, event: Value, key: &str) {
        self.push(wall, event, Some(key));
    }

    fn push(&self, wall: u64, mut event: Value, key: Option<&str>) {
        let number = *self.latest.borrow() + 1;
        event["ts"] = json!(wall);
        event["seq"] = json!(number);
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = key {
            ring.retain(|entry| entry.key.as_deref() != Some(key));
        }
        if ring.len() == CAPACITY {
            ring.pop_front();
        }
        ring.push_back(Entry {
            number,
            line: Bytes::from(format!("{event}\n")),
            key: key.map(str::to_owned),
        });
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
        for entry in ring.iter().skip_while(|entry| entry.number <= number) {
            lines.extend_from_slice(&entry.line);
            last = entry.number;
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
        log.replace(1, json!({"event": "status", "n": 1}), "a");
        log.add(2, json!({"event": "y"}));
        log.replace(3, json!({"event": "status", "n": 2}), "a");
        let (some, last) = log.after(last);
        let text = std::str::from_utf8(&some).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("\"y\"") && text.contains("\"n\":2"), "{text}");
        let (some, _) = log.after(last - 2);
        assert_eq!(some.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
