//! `bond events`: what happened to bonds, and with `-f` what happens.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Reply, Request};
use crate::command::Answer;
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;

/// Before a connection that ended is replaced.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn events(session: &Session<'_>) -> Answer {
    if session.options.follow {
        return follow(session);
    }
    let reply = session.send(Request::Get, "/bond/events?since=0")?;
    if reply.status != 200 {
        return Err(refused(session, &reply));
    }
    let lines = reply.body.lines().map(|line| shown(session, line).0);
    Ok(Outcome::ok(lines.collect::<String>()))
}

/// The service keeps the answer open and adds to it. It ends a connection from time to time; then the next one goes on from
/// the last event.
fn follow(session: &Session<'_>) -> Answer {
    let (mut last, mut gone) = (0, false);
    loop {
        let path = format!("/bond/events?follow=1&since={last}");
        let reply = session.lines(&path, |line| {
            let (text, number) = shown(session, line);
            last = number.max(last);
            let mut out = std::io::stdout();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            // A reader who has gone is no failure.
            gone = written.is_err();
            !gone
        })?;
        match reply {
            Some(reply) => return Err(refused(session, &reply)),
            None if gone => return Ok(Outcome::silent()),
            None => std::thread::sleep(PAUSE),
        }
    }
}

fn refused(session: &Session<'_>, reply: &Reply) -> Outcome {
    if session.is_hawser() {
        session.refused(reply)
    } else {
        Outcome::to_stdout(1, format!("{} bond {}\n", reply.status, reply.body))
    }
}

/// An event as it is printed, and its number.
fn shown(session: &Session<'_>, line: &str) -> (String, i64) {
    let event: Value = serde_json::from_str(line).unwrap_or(Value::Null);
    let number = json::integer(&event, "seq");
    if session.options.json {
        (format!("{line}\n"), number)
    } else {
        (format!("{}\n", sentence(&event)), number)
    }
}

/// `2020-09-10 20:09:58 (active-backup) Active link to peer …`, in UTC.
fn sentence(event: &Value) -> String {
    let policy = match json::text(event, "policy") {
        "" => "bond",
        policy => policy,
    };
    format!(
        "{} ({policy}) {}",
        date(json::integer(event, "ts")),
        json::text(event, "text")
    )
}

/// Milliseconds since the Unix epoch as UTC.
fn date(millis: i64) -> String {
    let seconds = millis.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March have their leap day at the end; 719 468 days lie between their era and the epoch.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_read_as_in_the_manual() {
        let event = json!({"event": "failover", "policy": "active-backup", "seq": 7, "ts": 1_599_768_598_123_i64,
            "text": "Active link to peer 16a03a3d03 has been switched to v1ab/11.100.1.21/9997"});
        assert_eq!(
            sentence(&event),
            "2020-09-10 20:09:58 (active-backup) Active link to peer 16a03a3d03 has been switched to \
             v1ab/11.100.1.21/9997"
        );
    }

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_799, "2000-02-29 23:59:59"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(date(seconds * 1000), expected);
        }
    }
}
