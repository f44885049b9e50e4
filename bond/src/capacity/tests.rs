use super::*;

const TENTH: Duration = Duration::from_millis(100);

/// Reports ten times a second, `bits` each, which is what was sent, with so long a queue; returns the time after.
fn report(capacity: &mut Capacity, mut now: Instant, times: u32, bits: u64, queue: f64) -> Instant {
    for _ in 0..times {
        now = now + TENTH;
        capacity.add_sent((bits / 80, f64::INFINITY), 0.0, (10_000.0, true), now);
        capacity.add_round_trip(10_000.0 + queue, now);
        capacity.add_delivery((bits / 80, None), (100, 0), TENTH, (10_000.0, true), now);
    }
    now
}

#[test]
fn without_reports_a_path_is_not_used_up_by_loss_alone() {
    let mut capacity = Capacity::default();
    let mut now = Instant::from_millis(0);
    let send = |capacity: &mut Capacity, round_trip, now: &mut Instant| {
        for _ in 0..20 {
            *now = *now + TENTH;
            capacity.add_round_trip(round_trip, *now);
            capacity.add_sent((100_000, f64::INFINITY), 0.2, (10_000.0, true), *now);
        }
    };
    send(&mut capacity, 10_000.0, &mut now);
    assert!(capacity.get().is_some() && !capacity.is_used_up(now));
    send(&mut capacity, 50_000.0, &mut now);
    let later = now + LOSS_MEMORY * 2;
    assert!(!capacity.was_full(later) && capacity.is_used_up(later));
}

#[test]
fn only_a_full_path_tells_its_capacity() {
    let mut capacity = Capacity::default();
    let now = report(
        &mut capacity,
        Instant::from_millis(0),
        20,
        10_000_000,
        1000.0,
    );
    assert_eq!((capacity.get(), capacity.full_since()), (None, None));
    assert!(capacity.bound().abs_diff(10_000_000) < 50_000);
    report(&mut capacity, now, 10, 20_000_000, 40_000.0);
    let (bits, measured) = capacity.get().expect("it is full");
    assert!(measured && bits.abs_diff(20_000_000) < 100_000, "{bits}");
    assert!(capacity.full_since().is_some());
}

/// Whoever answers may have had other things to do.
#[test]
fn an_answer_that_is_late_alone_is_no_queue() {
    let mut capacity = Capacity::default();
    let mut now = Instant::from_millis(0);
    for _ in 0..5 {
        now = report(&mut capacity, now, 5, 10_000_000, 0.0);
        now = report(&mut capacity, now, 1, 10_000_000, 90_000.0);
    }
    assert_eq!((capacity.get(), capacity.was_full(now)), (None, false));
    let now = report(&mut capacity, now, 4, 10_000_000, 90_000.0);
    assert!(capacity.get().is_some() && capacity.was_full(now));
}

#[test]
fn it_follows_down_within_a_second_and_up_as_soon_as_more_arrives() {
    let mut capacity = Capacity::default();
    let now = report(
        &mut capacity,
        Instant::from_millis(0),
        20,
        50_000_000,
        40_000.0,
    );
    // Senders take a while to notice.
    capacity.add_sent((2_000_000, f64::INFINITY), 0.0, (10_000.0, true), now);
    let now = report(&mut capacity, now, 9, 5_000_000, 60_000.0);
    let (bits, _) = capacity.get().expect("it is full");
    assert!(bits < 5_500_000, "{bits}");
    report(&mut capacity, now, 9, 50_000_000, 1000.0);
    let (bits, _) = capacity.get().expect("it was full");
    assert!(bits > 45_000_000, "{bits}");
}

/// What left while reports came is not what leaves from then on.
#[test]
fn when_reports_stop_what_leaves_is_counted_anew() {
    let mut capacity = Capacity::default();
    let mut now = report(&mut capacity, Instant::from_millis(0), 20, 10_000_000, 0.0);
    for _ in 0..80 {
        now = now + TENTH;
        capacity.add_round_trip(10_000.0, now);
        capacity.add_sent((125_000, f64::INFINITY), 0.0, (10_000.0, true), now);
    }
    let bound = capacity.bound();
    assert!(bound.abs_diff(10_000_000) < 100_000, "{bound}");
}

/// BBR sends next to nothing for a fifth of a second now and then; flows may move to another path.
#[test]
fn senders_that_pause_make_no_path_narrow() {
    let mut capacity = Capacity::default();
    let mut now = Instant::from_millis(0);
    for step in 0..200 {
        let bits = if step % 40 < 3 { 3_000_000 } else { 30_000_000 };
        now = report(&mut capacity, now, 1, bits, 30_000.0);
    }
    let (bits, _) = capacity.get().expect("it is full");
    assert!(bits > 28_000_000, "{bits}");
}

#[test]
fn loss_without_a_queue_is_overload_only_if_much_is_lost() {
    for (lost, is_full) in [(2, false), (30, true)] {
        let mut capacity = Capacity::default();
        let mut now = Instant::from_millis(0);
        for _ in 0..10 {
            now = now + TENTH;
            capacity.add_delivery(
                (100_000, None),
                (100 - lost, lost),
                TENTH,
                (10_000.0, true),
                now,
            );
        }
        assert_eq!(capacity.full_since().is_some(), is_full);
    }
}

#[test]
fn what_we_sent_is_an_estimate_and_a_queue_that_the_peer_makes_is_none() {
    for ours in [true, false] {
        let mut capacity = Capacity::default();
        let mut now = Instant::from_millis(0);
        for _ in 0..40 {
            now = now + TENTH / 2;
            capacity.add_round_trip(60_000.0, now);
            capacity.add_sent((50_000, f64::INFINITY), 0.0, (1000.0, ours), now);
        }
        let expected = ours.then_some((8_000_000, false));
        assert_eq!(capacity.get(), expected);
    }
}

/// Some senders begin with far more than fits, and nobody has reported anything yet.
#[test]
fn what_arrives_takes_the_place_of_an_estimate() {
    let mut capacity = Capacity::default();
    let mut now = Instant::from_millis(0);
    for _ in 0..40 {
        now = now + TENTH / 2;
        capacity.add_round_trip(60_000.0, now);
        capacity.add_sent((250_000, f64::INFINITY), 0.0, (1000.0, true), now);
    }
    let (bits, is_measured) = capacity.get().expect("it is full");
    assert!(
        !is_measured && bits.abs_diff(40_000_000) < 100_000,
        "{bits}"
    );
    // No more leaves than arrives.
    for _ in 0..2 {
        now = now + TENTH * 10;
        capacity.add_round_trip(60_000.0, now);
        let bytes = 3_750_000;
        capacity.add_delivery(
            (bytes, Some(bytes)),
            (3000, 0),
            TENTH * 10,
            (1000.0, true),
            now,
        );
    }
    let (bits, is_measured) = capacity.get().expect("it is full");
    assert!(is_measured && bits.abs_diff(30_000_000) < 100_000, "{bits}");
}

#[test]
fn a_full_path_that_failed_has_to_show_again_what_fits() {
    let rate = 20_000_000;
    let mut capacity = Capacity::default();
    let mut now = report(&mut capacity, Instant::from_millis(0), 10, rate, 40_000.0);
    let is_about = |capacity: &Capacity, measured: u64, expected: u64| {
        let near = |bits: Option<u64>, to: u64| bits.is_some_and(|b| b.abs_diff(to) < 100_000);
        let get = capacity.get().map(|(bits, _)| bits);
        near(get, measured)
            && near(capacity.known(false), measured)
            && near(capacity.known(true), expected)
    };
    assert!(is_about(&capacity, rate, rate));
    // A failure right after the first one is no second reason.
    for _ in 0..2 {
        capacity.doubt(now);
        assert!(is_about(&capacity, rate, rate / 4), "{capacity:?}");
    }
    let mut unused = capacity.clone();
    unused.expire(now + TENTH * 50);
    assert!(is_about(&unused, rate, rate / 4));
    unused.expire(now + TENTH * 51);
    assert!(is_about(&unused, rate, rate));
    // What comes all at once says nothing; half of what fitted proves half, and lets try a quarter more.
    now = report(&mut capacity, now, 1, rate / 2, 0.0);
    assert!(is_about(&capacity, rate, rate / 4));
    now = report(&mut capacity, now, 9, rate / 2, 0.0);
    assert!(is_about(&capacity, rate, rate * 5 / 8), "{capacity:?}");
    now = report(&mut capacity, now, 9, rate, 0.0);
    assert!(is_about(&capacity, rate, rate));
    // It carries next to nothing of what fits.
    now = report(&mut capacity, now, 60, rate / 10, 0.0);
    capacity.doubt(now);
    assert!(is_about(&capacity, rate, rate));
}

/// Three times what fits was sent, and then flows moved away: until the queue is felt anew less that arrives says nothing.
#[test]
fn what_was_too_much_and_left_makes_no_path_narrow() {
    let run = |is_felt_anew: bool| {
        let mut capacity = Capacity::default();
        let mut now = report(
            &mut capacity,
            Instant::from_millis(0),
            20,
            5_000_000,
            50_000.0,
        );
        let mut deliver = |bits: u64, left: u64, is_felt: bool| {
            now = now + TENTH;
            capacity.add_sent((left / 80, f64::INFINITY), 0.0, (10_000.0, true), now);
            if is_felt {
                capacity.add_round_trip(60_000.0, now);
            }
            capacity.add_delivery((bits / 80, None), (100, 0), TENTH, (10_000.0, true), now);
            capacity.get().map_or(0, |(bits, _)| bits)
        };
        for _ in 0..5 {
            deliver(5_000_000, 15_000_000, true);
        }
        // It takes a while to forget that.
        for _ in 0..8 {
            deliver(5_000_000, 5_000_000, is_felt_anew);
        }
        (0..6)
            .map(|_| deliver(2_500_000, 2_500_000, is_felt_anew))
            .min()
    };
    assert!(run(false) > Some(4_500_000), "{:?}", run(false));
    assert!(run(true) < Some(3_000_000), "{:?}", run(true));
}

/// A zerotier-one's first report after packets began to queue while less was sent tells of a time before that as well: neither
/// that as much arrives as ever says anything, nor that half of it does.
#[test]
fn a_report_of_before_and_after_is_no_measurement() {
    for mixed in [1_000_000, 500_000] {
        let mut capacity = Capacity::default();
        let deliver = |capacity: &mut Capacity, bytes, now| {
            let queue = (10_000.0, true);
            capacity.add_round_trip(90_000.0, now);
            capacity.add_delivery((bytes, Some(bytes)), (100, 0), TENTH * 10, queue, now);
        };
        let known = |capacity: &Capacity| capacity.known(true).map(|bits| bits / 100_000);
        for second in 1..5 {
            deliver(
                &mut capacity,
                1_000_000,
                Instant::from_millis(1000 * second),
            );
        }
        assert_eq!(known(&capacity), Some(79));
        let mut now = Instant::from_millis(4600);
        capacity.add_round_trip(90_000.0, now);
        capacity.add_sent((20_000, 4e6), 0.0, (10_000.0, true), now);
        assert_eq!(known(&capacity), Some(19));
        now = now + TENTH;
        deliver(&mut capacity, mixed, now);
        assert_eq!(known(&capacity), Some(19), "{mixed}");
        now = now + TENTH * 10;
        deliver(&mut capacity, 101_000, now);
        assert_eq!(known(&capacity), Some(8), "{mixed}");
    }
}

/// Nearly as much arrives as is sent, and less than once fitted: it may be that senders gave way, and the queue is still felt.
/// While much of it is lost, they did not.
#[test]
fn a_standing_queue_that_spills_shows_what_fits() {
    let run = |loss: u64| {
        let mut capacity = Capacity::default();
        let start = Instant::from_millis(0);
        // So much arrived before without any loss that what is lost now is not more than usual.
        let mut now = report(&mut capacity, start, 20, 9_000_000, 40_000.0);
        for _ in 0..3 {
            now = now + TENTH * 10;
            capacity.add_round_trip(50_000.0, now);
            let left = 500_000 * 100 / (100 - loss);
            let lost = left / 1000 - 500;
            let second = TENTH * 10;
            capacity.add_delivery(
                (500_000, Some(left)),
                (500, lost),
                second,
                (10_000.0, true),
                now,
            );
        }
        capacity.get().expect("it is full").0
    };
    assert!(run(5) > 8_500_000, "{}", run(5));
    assert!(run(18).abs_diff(4_000_000) < 50_000, "{}", run(18));
}

/// A zerotier-one reports a second's packets, some of which left before the path failed.
#[test]
fn what_was_lost_before_a_failure_is_no_overload_after_it() {
    let run = |rest: u32| {
        let mut capacity = Capacity::default();
        let mut now = report(
            &mut capacity,
            Instant::from_millis(0),
            10,
            5_000_000,
            40_000.0,
        );
        capacity.doubt(now);
        now = now + TENTH * rest;
        let delivery = (45_000, Some(90_000));
        capacity.add_round_trip(10_000.0, now);
        capacity.add_delivery(delivery, (60, 60), TENTH * 10, (10_000.0, true), now);
        capacity.get().expect("it was full").0
    };
    assert!(run(10).abs_diff(5_000_000) < 10_000, "{}", run(10));
    // Later than that it tells of what left since.
    assert!(run(40).abs_diff(360_000) < 1000, "{}", run(40));
}

/// A path whose rate is cut carries nothing for a while before it is taken for failed.
#[test]
fn a_path_that_was_full_until_it_fell_silent_is_doubted() {
    for (rate, is_doubted) in [(20_000_000, true), (10_000_000, false)] {
        let mut capacity = Capacity::default();
        let now = Instant::from_millis(0);
        let now = report(&mut capacity, now, 10, 20_000_000, 40_000.0);
        let now = report(&mut capacity, now, 60, rate, 0.0);
        let now = report(&mut capacity, now, 4, 0, 0.0);
        assert!(!capacity.is_used_up(now));
        capacity.doubt(now);
        assert_eq!(capacity.is_used_up(now + TENTH), is_doubted);
        let (measured, _) = capacity.get().expect("it was full");
        let part = capacity.known(true).expect("it was full") as f64 / measured as f64;
        assert_eq!(part < 0.3, is_doubted, "{part}");
    }
}

#[test]
fn a_path_with_room_grows_while_another_is_full() {
    let mut capacity = Capacity::default();
    let now = report(&mut capacity, Instant::from_millis(0), 10, 10_000_000, 0.0);
    capacity.raise(now);
    let bound = capacity.bound();
    // Windows round to the nearest of eleven bits.
    let precision = 15_000_000 / 4096;
    assert!(bound.abs_diff(15_000_000) <= precision, "{bound}");
    assert_eq!(capacity.get(), None);
    // Silence is no room.
    capacity.raise(now + Duration::from_secs(5));
    assert_eq!(capacity.bound(), bound);
}

/// A peer reports each 2.5 s: that far less fits shows in what senders still send while packets queue.
#[test]
fn senders_that_give_way_to_a_queue_show_that_less_fits() {
    // `fall`: what the last report told, if it is of a moment after the change; `left`: what flows sent that were moved off.
    let run = |rate: f64, queue: f64, fall: Option<u64>, silence: u64, left: f64| {
        let at = Instant::from_millis;
        let mut capacity = Capacity::default();
        let mut full = report(&mut capacity, at(1000), 10, 8_000_000, 30_000.0);
        assert!(capacity.get().is_some_and(|(bits, _)| bits == 8_000_000));
        if let Some(bits) = fall {
            full = report(&mut capacity, full, 1, bits, 60_000.0);
        }
        capacity.note_silence(Duration::from_millis(silence));
        capacity.note_departure(left);
        for answer in 0..4 {
            let now = full + Duration::from_millis(500 + 170 * answer);
            capacity.add_round_trip(10_000.0 + queue, now);
            capacity.add_sent((20_000, rate), 0.0, (10_000.0, true), now);
        }
        capacity.known(true)
    };
    assert_eq!(run(4e6, 90_000.0, None, 0, 0.0), Some(2_000_000));
    // The last report came in the middle of the fall.
    let expected = run(4e6, 90_000.0, Some(5_000_000), 0, 0.0).expect("it is full");
    assert!(expected.abs_diff(2_000_000) < 10_000, "{expected}");
    // They send as much, or nothing queues.
    assert_eq!(run(7e6, 90_000.0, None, 0, 0.0), Some(8_000_000));
    assert_eq!(run(4e6, 3_000.0, None, 0, 0.0), Some(8_000_000));
    // Senders have paused: the smoothed rate has forgotten a quarter.
    assert_eq!(run(4e6, 90_000.0, None, 287, 0.0), Some(2_000_000));
    assert_eq!(run(4e6, 90_000.0, None, 288, 0.0), Some(8_000_000));
    // Some of them send elsewhere now.
    assert_eq!(run(4e6, 90_000.0, None, 0, 2.1e6), Some(8_000_000));
    assert_eq!(run(4e6, 90_000.0, None, 0, 1.9e6), Some(2_000_000));
}
