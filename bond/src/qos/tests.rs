use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn only_odd_packets_are_noted_and_reported_with_their_holding_time() {
    let mut ledger = QosLedger::new(SECOND);
    ledger.handle_received(PacketId(2), at(0));
    assert_eq!(ledger.poll_report(at(5)), None);
    ledger.handle_received(PacketId(3), at(10));
    let report = ledger
        .poll_report(at(25))
        .expect("the first report is due at once");
    assert_eq!(report.len(), 1);
    assert_eq!(
        (report[0].packet, report[0].holding_time_ms),
        (PacketId(3), 15)
    );
    ledger.handle_received(PacketId(5), at(30));
    assert_eq!(ledger.next_report(at(30)), Some(at(1025)));
    assert_eq!(ledger.poll_report(at(1024)), None);
    assert!(ledger.poll_report(at(1025)).is_some());
}

#[test]
fn probes_are_reported_often_at_first_and_then_every_three_minutes() {
    // One each 333 ms, as 1.14.1 asks with a failover interval of 1 s; every second has an odd number.
    let mut ledger = QosLedger::new(2 * SECOND);
    let mut reports = Vec::new();
    for number in 0..3 * 3600 {
        let now = at(333 * number);
        ledger.expire(now);
        ledger.handle_probe_received(PacketId(number), now);
        if let Some(records) = ledger.poll_report(now) {
            assert_eq!(records.len(), 1);
            reports.push(333 * number);
        }
    }
    assert_eq!(reports[0], 333, "the first at once");
    let early = reports.iter().filter(|at| **at < 12_000).count();
    assert!(early >= 3, "{reports:?}");
    assert!(reports.len() <= 28, "{} reports an hour", reports.len());
    let pauses = reports.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(pauses.max() <= Some(181_000), "{reports:?}");
    // Other packets are noted as ever.
    ledger.handle_received(PacketId(1), at(3_600_000));
    assert!(ledger.next_report(at(3_600_000)).is_some());
}

#[test]
fn a_full_report_does_not_wait_for_the_interval_but_keeps_the_spacing() {
    let mut ledger = QosLedger::new(Duration::from_secs(10));
    ledger.handle_received(PacketId(1), at(0));
    assert!(ledger.poll_report(at(0)).is_some());
    for id in 1..140 {
        ledger.handle_received(PacketId(2 * id + 1), at(1));
    }
    assert_eq!(ledger.next_report(at(1)), Some(at(10_000)));
    ledger.handle_received(PacketId(281), at(1));
    assert_eq!(ledger.next_report(at(1)), Some(at(160)));
    for id in 141..500 {
        ledger.handle_received(PacketId(2 * id + 1), at(1));
    }
    assert_eq!(ledger.poll_report(at(159)), None);
    assert_eq!(
        ledger.poll_report(at(160)).map(|records| records.len()),
        Some(140)
    );
    assert_eq!(ledger.received.len(), MAX_RECORDS - 140);
}

#[test]
fn reports_become_round_trips_and_losses() {
    let mut ledger = QosLedger::new(SECOND);
    for id in 0..10 {
        ledger.handle_sent(PacketId(2 * id + 1), 2, at(id * 100));
    }
    let record = |id, holding_time_ms| QosRecord {
        packet: PacketId(id),
        holding_time_ms,
    };
    // Sent at 0, 100 and 900; 3 is unknown to the peer, as are those from 200 to 600; 700 and 800 may still come.
    let report = [
        record(1, 1000),
        record(3, 900),
        record(19, 80),
        record(999, 0),
        record(19, 80),
    ];
    let samples = ledger.handle_report(&report, at(1020));
    let millis: Vec<_> = samples
        .round_trips
        .iter()
        .map(Duration::as_millis)
        .collect();
    assert_eq!(millis, [20, 20, 40]);
    assert_eq!(samples.latest_sent, Some(at(900)));
    assert_eq!((samples.delivered, samples.lost), (3, 5));
    assert_eq!(ledger.sent.len(), 2);
}

#[test]
fn what_was_sent_before_the_peer_recorded_anything_is_not_lost() {
    let mut ledger = QosLedger::new(SECOND);
    let record = |id| QosRecord {
        packet: PacketId(id),
        holding_time_ms: 0,
    };
    for (id, sent) in [(1, 0), (3, 10), (5, 20), (7, 30), (9, 300)] {
        ledger.handle_sent(PacketId(id), 2, at(sent));
    }
    // The peer's bond begins between 3 and 5.
    let samples = ledger.handle_report(&[record(5), record(9)], at(310));
    assert_eq!((samples.delivered, samples.lost), (2, 1));
    // From then on nothing is excused.
    ledger.handle_sent(PacketId(11), 2, at(320));
    ledger.handle_sent(PacketId(13), 2, at(600));
    let samples = ledger.handle_report(&[record(13)], at(610));
    assert_eq!((samples.delivered, samples.lost), (1, 1));
}

#[test]
fn what_was_sent_before_the_path_failed_is_not_lost() {
    let mut ledger = QosLedger::new(SECOND);
    let record = |id| QosRecord {
        packet: PacketId(id),
        holding_time_ms: 0,
    };
    for (id, sent) in [(1, 0), (3, 100), (5, 200), (7, 800), (9, 900), (11, 1200)] {
        ledger.handle_sent(PacketId(id), 2, at(sent));
    }
    ledger.handle_report(&[record(1)], at(10));
    ledger.note_working(Some(at(700)));
    // That it failed again meanwhile changes nothing.
    ledger.note_working(None);
    let samples = ledger.handle_report(&[record(9), record(11)], at(1210));
    assert_eq!((samples.delivered, samples.lost), (2, 1));
}

#[test]
fn impossible_holding_times_give_no_sample() {
    let mut ledger = QosLedger::new(SECOND);
    ledger.handle_sent(PacketId(1), 2, at(0));
    let report = [QosRecord {
        packet: PacketId(1),
        holding_time_ms: 5000,
    }];
    let samples = ledger.handle_report(&report, at(20));
    assert!(samples.round_trips.is_empty());
    assert_eq!(samples.delivered, 1);
}

/// Packets per second by a report, `interval` ms after another one, with records that were held for so many ms.
fn arrival_rate(one_in: u16, interval: u64, holding: impl Iterator<Item = u64>) -> Option<f64> {
    let mut ledger = QosLedger::new(SECOND);
    ledger.handle_report(&[], at(0));
    let records: Vec<_> = (0..)
        .zip(holding)
        .map(|(index, millis)| {
            let packet = PacketId(2 * index + 1);
            // Of some nothing is known any more: they stand for as many as the others.
            if index < 80 {
                ledger.handle_sent(packet, one_in, at(0));
            }
            QosRecord {
                packet,
                holding_time_ms: millis as u16,
            }
        })
        .collect();
    let arrived = ledger.handle_report(&records, at(interval)).arrived;
    arrived.map(|(packets, time)| packets as f64 / time.as_secs_f64())
}

#[test]
fn reports_tell_the_rate_of_arrivals() {
    let even = |from: u64, to: u64| (0..100).map(move |index| from + (to - from) * index / 100);
    let is_about = |rate: Option<f64>, wanted: f64| {
        let rate = rate.expect("a rate");
        assert!((rate / wanted - 1.0).abs() < 0.03, "{rate}, {wanted}");
    };
    is_about(arrival_rate(2, 600, even(0, 600)), 333.0);
    is_about(arrival_rate(16, 600, even(0, 600)), 2667.0);
    // Some were left by the report before; a report was lost.
    is_about(arrival_rate(2, 600, even(0, 700)), 286.0);
    is_about(arrival_rate(2, 250, even(0, 500)), 400.0);
    is_about(arrival_rate(2, 1200, even(0, 600)), 333.0);
    // Nothing was sent for a while after or, but for a few, before.
    is_about(arrival_rate(2, 2000, even(1000, 1600)), 333.0);
    let late = || even(0, 300).chain([1500, 1600, 1700, 1800]);
    is_about(arrival_rate(2, 2000, late()), 667.0);
    // The latest second counts.
    let slower = (0..100).map(|index| if index < 50 { 10 * index } else { 30 * index });
    is_about(arrival_rate(2, 3000, slower), 200.0);
    // A few records, or all at once.
    assert_eq!(arrival_rate(2, 600, even(0, 600).take(29)), None);
    assert_eq!(arrival_rate(2, 600, even(0, 20)), None);
}

/// Of more than fits the peer reports those with the lowest ids.
#[test]
fn a_full_report_tells_of_all_that_arrived() {
    let mut ledger = QosLedger::new(SECOND);
    ledger.handle_report(&[], at(0));
    let mut records: Vec<_> = (0..350u64)
        .map(|number| {
            let packet = PacketId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            ledger.handle_sent(packet, 4, at(2 * number));
            QosRecord {
                packet,
                holding_time_ms: 700 - 2 * number as u16,
            }
        })
        .collect();
    records.sort_by_key(|record| record.packet);
    records.truncate(MAX_QOS_RECORDS);
    let samples = ledger.handle_report(&records, at(700));
    let (packets, time) = samples.arrived.expect("a rate");
    let rate = packets as f64 / time.as_secs_f64();
    assert!((rate - 2000.0).abs() < 100.0, "{rate}");
}

#[test]
fn memory_is_bounded() {
    let mut ledger = QosLedger::new(SECOND);
    for id in 0..100_000 {
        ledger.handle_sent(PacketId(2 * id + 1), 2, at(id));
        ledger.handle_received(PacketId(2 * id + 1), at(id));
    }
    assert!(ledger.sent.len() <= MAX_RECORDS && ledger.received.len() <= MAX_RECORDS);
    ledger.expire(at(1_000_000));
    assert!(ledger.sent.is_empty() && ledger.received.is_empty());
}

/// Sends one sampled packet each 5 ms, with ids in no order, and reports to the ledger as 1.14.1 does: 140 at a time, those
/// with the lowest ids, as soon as there are so many. What is lost by then, by `is_lost`, is told: (delivered, lost).
fn losses(
    seconds: u64,
    is_lost: impl Fn(u64) -> bool,
    is_report_lost: impl Fn(u64) -> bool,
) -> (u32, u32) {
    let mut ledger = QosLedger::new(SECOND);
    let mut pending = std::collections::BTreeMap::new();
    let (mut delivered, mut lost, mut reports) = (0, 0, 0);
    for number in 0..200 * seconds {
        let now = 5 * number;
        let packet = PacketId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        ledger.handle_sent(packet, 2, at(now));
        if !is_lost(number) {
            pending.insert(packet.0, now);
        }
        // It looks after its bond now and then.
        if now % 400 == 0 && pending.len() >= MAX_QOS_RECORDS {
            let first: Vec<u64> = pending.keys().copied().take(MAX_QOS_RECORDS).collect();
            let record = |id: u64| QosRecord {
                packet: PacketId(id),
                holding_time_ms: (now - pending[&id]) as u16,
            };
            let records: Vec<_> = first.iter().map(|id| record(*id)).collect();
            pending.retain(|id, _| !first.contains(id));
            reports += 1;
            if !is_report_lost(reports) {
                let samples = ledger.handle_report(&records, at(now));
                assert!(samples.tells_loss, "{now}");
                delivered += samples.delivered;
                lost += samples.lost;
            }
        }
        ledger.expire(at(now));
    }
    (delivered, lost)
}

#[test]
fn what_does_not_fit_into_a_report_is_not_lost() {
    let (delivered, lost) = losses(60, |_| false, |_| false);
    assert!(delivered > 11_000, "{delivered}");
    assert_eq!(lost, 0);
}

#[test]
fn full_reports_tell_what_is_lost() {
    for one_in in [3, 10, 50] {
        let (delivered, lost) = losses(60, |number| number % one_in == 0, |_| false);
        let loss = f64::from(lost) / f64::from(delivered + lost);
        let exact = 1.0 / one_in as f64;
        assert!((loss / exact - 1.0).abs() < 0.1, "{loss} of {exact}");
    }
}

#[test]
fn packets_whose_report_was_lost_are_not() {
    let (delivered, lost) = losses(60, |number| number % 50 == 0, |report| report % 20 == 3);
    let loss = f64::from(lost) / f64::from(delivered + lost);
    assert!(
        (0.017..0.027).contains(&loss),
        "{loss}: {lost} of {delivered}"
    );
}

/// When two reports in a row are lost, more has left than there is room for on our side, but not on the peer's.
#[test]
fn the_report_after_some_that_were_lost_tells_of_loss() {
    // Some of a report's last packets would be missed in the next one only, so that not all that was lost is told.
    let (delivered, lost) = losses(60, |number| number % 50 == 0, |report| report % 4 < 2);
    let loss = f64::from(lost) / f64::from(delivered + lost);
    assert!(
        (0.014..0.024).contains(&loss),
        "{loss}: {lost} of {delivered}"
    );
}

/// After a flood the peer has no room for some, just before each of its reports, for as long as hardly less is noted than it
/// reports. Those seem to be lost.
#[test]
fn what_found_no_room_is_not_lost() {
    let mut ledger = QosLedger::new(SECOND);
    let mut pending = std::collections::BTreeMap::new();
    let (mut random, mut delivered, mut lost, mut unnoted) = (1u64, 0, 0, 0);
    for millis in 0..30_000u64 {
        // One packet in 128 gets lost; there is a flood of half a second.
        let pace = if (1000..1450).contains(&millis) { 1 } else { 7 };
        if millis % pace == 0 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let packet = PacketId((random ^ random >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1);
            ledger.handle_sent(packet, 2, at(millis));
            if random >> 40 & 127 > 0 {
                match pending.len() < MAX_RECORDS {
                    true => drop(pending.insert(packet, millis)),
                    false => unnoted += 1,
                }
            }
        }
        if millis % 1000 == 999 && pending.len() >= MAX_QOS_RECORDS {
            let mut records = Vec::new();
            while records.len() < MAX_QOS_RECORDS {
                let (packet, noted) = pending.pop_first().expect("a record");
                records.push(QosRecord {
                    packet,
                    holding_time_ms: (millis - noted) as u16,
                });
            }
            let samples = ledger.handle_report(&records, at(millis));
            if samples.tells_loss {
                delivered += samples.delivered;
                lost += samples.lost;
            }
        }
        ledger.expire(at(millis));
    }
    assert!(unnoted > 50, "{unnoted}");
    let loss = f64::from(lost) / f64::from(delivered + lost);
    assert!((0.002..0.015).contains(&loss), "{lost} of {delivered}");
}

/// A report holds no more than was noted since the one before, those with the lowest ids. What that one had no room for may be
/// among them, and then others are left out.
#[test]
fn what_a_short_report_leaves_out_is_not_lost() {
    let told = |is_lost: fn(u64) -> bool| {
        let mut ledger = QosLedger::new(SECOND);
        let mut pending = std::collections::BTreeMap::new();
        let (mut noted, mut last_report) = (0, 0);
        let (mut delivered, mut lost, mut short) = (0, 0, 0);
        for millis in 0..60_000u64 {
            // A second of plenty, and two of little.
            let pace = if millis % 3000 < 1000 { 5 } else { 40 };
            if millis % pace == 0 {
                let packet = PacketId((millis + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                ledger.handle_sent(packet, 2, at(millis));
                if !is_lost(millis) {
                    pending.insert(packet, millis);
                    noted += 1;
                }
            }
            let is_due = noted >= MAX_QOS_RECORDS || millis - last_report > 2000;
            if millis % 300 == 0 && noted > 0 && is_due {
                let count = noted.min(MAX_QOS_RECORDS).min(pending.len());
                short += u32::from(count < MAX_QOS_RECORDS);
                (noted, last_report) = (0, millis);
                let first = std::iter::from_fn(|| pending.pop_first()).take(count);
                let record = |(packet, at): (PacketId, u64)| QosRecord {
                    packet,
                    holding_time_ms: (millis - at) as u16,
                };
                let records: Vec<_> = first.map(record).collect();
                let samples = ledger.handle_report(&records, at(millis));
                delivered += samples.delivered;
                lost += samples.lost;
            }
            ledger.expire(at(millis));
        }
        (delivered, lost, short)
    };
    let (delivered, lost, short) = told(|_| false);
    assert!(delivered > 4000 && short >= 10, "{delivered}, {short}");
    assert_eq!(lost, 0);
    // One in forty of the plenty, one in five of the little: fifteen of 250.
    let (delivered, lost, _) = told(|millis| millis % 200 == 0);
    let loss = f64::from(lost) / f64::from(delivered + lost);
    assert!((loss / 0.06 - 1.0).abs() < 0.1, "{lost} of {delivered}");
}

#[test]
fn where_the_peer_had_no_room_less_than_half_tells_of_loss_the_second_time() {
    // Far more than the peer can note, and a report each second on some of them.
    let losses = |reported: u64| -> Vec<(bool, u32)> {
        let mut ledger = QosLedger::new(SECOND);
        let told = (0..4).map(|second| {
            let mut records = Vec::new();
            for index in 0..1000 {
                let packet = PacketId(2 * (1000 * second + index) + 1);
                ledger.handle_sent(packet, 2, at(1000 * (second + 1) + index * 9 / 10));
                if index >= 1000 - reported {
                    records.push(QosRecord {
                        packet,
                        holding_time_ms: 50,
                    });
                }
            }
            let samples = ledger.handle_report(&records, at(1000 * (second + 1) + 960));
            (samples.tells_loss, samples.lost)
        });
        told.collect()
    };
    assert!(losses(140).iter().all(|told| *told == (false, 0)));
    let lossy = losses(30);
    assert!(!lossy[0].0, "{lossy:?}");
    assert!(
        lossy[1..]
            .iter()
            .all(|(tells, lost)| *tells && *lost >= 100),
        "{lossy:?}"
    );
}
