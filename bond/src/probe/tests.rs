use super::*;
use crate::probe_interval::{IDLE_INTERVAL, Standby};
use crate::suspicion::{AnswerTime, Reason};

fn watch() -> Watch {
    let mut answers = AnswerTime::default();
    for _ in 0..20 {
        answers.add(Duration::from_millis(10));
    }
    Watch {
        strategy: MonitorStrategy::Dynamic,
        failover_interval: Duration::from_millis(1000),
        is_stock: false,
        is_down: false,
        is_trial: false,
        reason: None,
        has_alternative: true,
        has_traffic: true,
        idle_for: Duration::ZERO,
        is_busy: false,
        is_covered: false,
        sent_rate: 0.0,
        loss: 0.0,
        standby: None,
        answers,
    }
}

/// Probes sent in the seconds `from..to` when each is answered at once.
fn probes(watch: &Watch, from: u64, to: u64) -> u64 {
    let mut prober = Prober::new(0);
    let (mut count, mut proof) = (0, None);
    for millis in 0..to * 1000 {
        let now = Instant::from_millis(millis);
        if prober.next(watch, proof).is_some_and(|due| due <= now) {
            prober.handle_asked(watch, now);
            prober.handle_sent(millis, now);
            proof = prober.handle_reply(millis).map(|reply| reply.sent);
            prober.handle_proof(now);
            count += u64::from(millis >= from * 1000);
        }
    }
    count
}

#[test]
fn cost_of_probing_is_bounded() {
    let idle = Watch {
        has_traffic: false,
        idle_for: Duration::from_secs(80),
        ..watch()
    };
    // Probes and answers of both ends take half of 10 bytes/s, 3.86 of a link with 10 MB a month.
    let exchanged = |watch: &Watch| 2 * probes(watch, 0, 60_000) * 149;
    assert!(exchanged(&idle) <= 2 * 5 * 60_000);
    for standby in [Standby::Spare, Standby::Metered] {
        let waits = Watch {
            standby: Some(standby),
            ..idle
        };
        assert!(exchanged(&waits) <= 3 * 60_000);
        // One that failed is asked by both ends, and does not answer.
        let down = Watch {
            is_down: true,
            has_alternative: true,
            ..waits
        };
        assert!(unanswered(&down, 6000) * 2 * 70 <= 15 * 6000);
    }
    let active = Watch {
        strategy: MonitorStrategy::Active,
        has_traffic: false,
        ..watch()
    };
    // Four probes of 70 bytes per failover interval: our probes, and answers to as many of the peer's.
    let count = probes(&active, 0, 100);
    assert!((150..=168).contains(&count), "{count}");
    assert!(count * 149 <= 280 * 100);
    let stock = Watch {
        is_stock: true,
        ..active
    };
    let count = probes(&stock, 0, 100);
    assert!((240..=251).contains(&count), "{count}");
    let passive = Watch {
        strategy: MonitorStrategy::Passive,
        ..watch()
    };
    assert_eq!(probes(&passive, 0, 10), 0);
    // Without reports of the peer, however little is sent.
    let busy = Watch {
        is_busy: true,
        sent_rate: 1e6,
        ..watch()
    };
    assert!(probes(&busy, 0, 10) <= 168);
    let metered = Watch {
        standby: Some(Standby::Metered),
        ..watch()
    };
    assert!(probes(&metered, 0, 600) <= 11);
    // Reports cover 1.5 MB/s: probes and answers are less than a thousandth of it.
    let covered = Watch {
        is_busy: true,
        is_covered: true,
        sent_rate: 1.5e6,
        ..watch()
    };
    let count = probes(&covered, 0, 100);
    assert!((500..=750).contains(&count), "{count}");
}

#[test]
fn a_bond_that_never_sent_anything_is_asked_as_rarely_as_can_be() {
    let never = Watch {
        has_traffic: false,
        idle_for: Duration::MAX,
        ..watch()
    };
    assert_eq!(never.interval(Duration::ZERO), Some(IDLE_INTERVAL));
}

#[test]
fn the_longer_nothing_was_sent_the_rarer_are_probes() {
    let mut prober = Prober::new(0);
    let mut asked = Vec::new();
    let mut proof = None;
    for millis in 1..120_000 {
        let now = Instant::from_millis(millis);
        let watch = Watch {
            has_traffic: millis <= 30_000,
            idle_for: Duration::from_millis(millis),
            ..watch()
        };
        if prober.next(&watch, proof).is_some_and(|due| due <= now) {
            prober.handle_asked(&watch, now);
            prober.handle_sent(millis, now);
            proof = prober.handle_reply(millis).map(|reply| reply.sent);
            prober.handle_proof(now);
            asked.push(millis);
        }
    }
    assert!((7..=12).contains(&asked.len()), "{asked:?}");
    let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(*pauses.last().unwrap() <= 45_000, "{pauses:?}");
}

/// Probes within `seconds` when none is answered.
fn unanswered(watch: &Watch, seconds: u64) -> u64 {
    let mut prober = Prober::new(0);
    let mut count = 0;
    for millis in 0..seconds * 1000 {
        let now = Instant::from_millis(millis);
        if prober.next(watch, None).is_some_and(|due| due <= now) {
            prober.handle_asked(watch, now);
            prober.handle_sent(millis, now);
            count += 1;
        }
    }
    count
}

#[test]
fn a_stock_peer_is_never_asked_faster_than_it_answers() {
    for reason in [None, Some(Reason::Silent)] {
        let watch = Watch {
            is_stock: true,
            reason,
            is_busy: true,
            sent_rate: 1e9,
            ..watch()
        };
        assert!(probes(&watch, 0, 60) <= 60_000 / 166);
        let failure = failure(&watch);
        assert!(failure <= Duration::from_millis(600), "{failure:?}");
    }
}

/// From the first probe that is not answered to the verdict.
fn failure(watch: &Watch) -> Duration {
    let mut prober = Prober::new(0);
    let start = 10_000;
    prober.handle_asked(watch, Instant::from_millis(start));
    prober.handle_sent(0, Instant::from_millis(start));
    for millis in start.. {
        let now = Instant::from_millis(millis);
        prober.expire(watch, now);
        let verdict = prober.failure_at(watch, Some(Instant::from_millis(start)), Some(now));
        if verdict.is_some_and(|at| at <= now) {
            return now.duration_since(Instant::from_millis(start));
        }
        if prober.next(watch, None).is_some_and(|due| due <= now) {
            prober.handle_asked(watch, now);
            prober.handle_sent(millis, now);
        }
    }
    unreachable!("it fails some time");
}

#[test]
fn missing_answers_become_a_failure_the_sooner_the_more_speaks_for_it() {
    let ms = Duration::from_millis;
    let plain = watch();
    assert!((ms(60)..=ms(75)).contains(&failure(&plain)));
    let silent = Watch {
        reason: Some(Reason::Silent),
        ..plain
    };
    assert!((ms(35)..=ms(45)).contains(&failure(&silent)));
    let lossy = Watch {
        loss: 0.05,
        ..plain
    };
    assert!(failure(&lossy) > failure(&plain));
    // Nobody could take over.
    let alone = Watch {
        has_alternative: false,
        ..silent
    };
    assert_eq!(failure(&alone), ms(750));
}

#[test]
fn a_path_in_doubt_all_the_time_is_asked_hastily_only_for_a_while() {
    let mut prober = Prober::new(0);
    let mut asked = Vec::new();
    for millis in 10_000..70_000 {
        let now = Instant::from_millis(millis);
        prober.hurry(6);
        if prober.next(&watch(), None).is_some_and(|due| due <= now) {
            prober.handle_asked(&watch(), now);
            asked.push(millis);
        }
    }
    let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        pauses.iter().take(16).all(|pause| *pause == 15),
        "{pauses:?}"
    );
    // Every 500 ms one that is early, and 250 ms after the last one that is due.
    assert!((300..=330).contains(&asked.len()), "{}", asked.len());
}

#[test]
fn when_nothing_comes_in_anywhere_there_is_no_haste() {
    let watch = Watch {
        reason: Some(Reason::Silent),
        ..watch()
    };
    let mut prober = Prober::new(0);
    for millis in [0, 15, 30] {
        prober.handle_sent(millis, Instant::from_millis(1000 + millis));
    }
    let at = |witness| prober.failure_at(&watch, None, witness);
    assert_eq!(
        at(Some(Instant::from_millis(999))),
        Some(Instant::from_millis(1750))
    );
    assert_eq!(
        at(Some(Instant::from_millis(1001))),
        Some(Instant::from_millis(1035))
    );
}

#[test]
fn what_is_late_is_lost_once_a_later_probe_is_answered() {
    let at = Instant::from_millis;
    let mut prober = Prober::new(0);
    for token in 1..=5 {
        prober.handle_sent(token, at(1000 + token * 10));
    }
    // Out of order, and then the one before it is late.
    assert_eq!(prober.handle_reply(3).map(|reply| reply.lost), Some(0));
    assert_eq!(prober.expire(&watch(), at(1319)), 1);
    assert_eq!(prober.expire(&watch(), at(1330)), 1);
    assert_eq!(prober.expire(&watch(), at(1360)), 0);
    assert_eq!(prober.missing(), 4);
    assert_eq!(prober.handle_reply(4).map(|reply| reply.lost), Some(0));
    prober.handle_sent(6, at(1361));
    assert_eq!(prober.handle_reply(6).map(|reply| reply.lost), Some(1));
    assert_eq!(prober.handle_reply(5), None);
    // Late or not, so many are remembered.
    for token in 7..60 {
        prober.handle_sent(token, at(1400 + token));
    }
    prober.expire(&watch(), at(2000));
    assert_eq!(prober.outstanding.len(), MOST_LATE);
}

#[test]
fn an_unanswered_probe_ages_until_something_sent_later_arrives() {
    let at = Instant::from_millis;
    let mut prober = Prober::new(0);
    prober.handle_sent(1, at(100));
    prober.handle_sent(2, at(200));
    prober.handle_proof(at(50));
    assert_eq!(prober.unanswered(), Some(at(100)));
    let (sent, lost) = (at(100), 0);
    assert_eq!(prober.handle_reply(1), Some(Reply { sent, lost }));
    prober.handle_proof(at(100));
    assert_eq!(prober.unanswered(), Some(at(200)));
    assert_eq!(prober.handle_reply(1), None);
    prober.handle_proof(at(250));
    assert_eq!(prober.unanswered(), None);
}
