use super::*;
use crate::config::BasePolicy;

const TENTH: Duration = Duration::from_millis(100);

const NEAR: Duration = Duration::from_millis(10);
const QUEUED: Duration = Duration::from_millis(60);

fn report(now: Instant, packets: u32) -> DeliveryReport {
    DeliveryReport {
        bytes: u64::from(packets) * 1000,
        packets,
        lost: 0,
        interval: TENTH,
        latest_sent: (packets > 0).then(|| now - Duration::from_millis(5)),
        unreported: 0,
        oldest_unreported: None,
        silence: Duration::ZERO,
    }
}

/// A path that is used for a second, beside another one.
fn used(is_full: bool) -> (Member, Instant) {
    let settings = PolicySettings::standard(BasePolicy::BalanceAware);
    let mut member = Member::example(&settings);
    let mut now = Instant::from_millis(0);
    (member.is_used, member.beside.has_alternative) = (true, true);
    member.quality.add_round_trip(NEAR, now);
    for _ in 0..10 {
        now = now + TENTH;
        member.handle_sent(100, 100_000, now);
        member
            .quality
            .add_round_trip(if is_full { QUEUED } else { NEAR }, now);
        let report = report(now, 100);
        member.handle_delivery(&report, now);
        member.handle_report(&report, now);
    }
    (member, now)
}

/// A hundred packets that left after all others did not arrive.
fn miss(member: &mut Member, now: Instant) {
    let missing = DeliveryReport {
        unreported: 100,
        oldest_unreported: Some(now - TENTH / 2),
        silence: TENTH,
        ..report(now, 0)
    };
    member.handle_report(&missing, now + TENTH / 2);
}

#[test]
fn missing_packets_alone_fail_a_path_unless_it_may_be_full() {
    let (mut member, now) = used(false);
    miss(&mut member, now + TENTH);
    assert_eq!(member.life.cause, Cause::OneWay);
    assert_eq!(member.life.phase, Phase::Down);
    let (mut full, now) = used(true);
    for _ in 0..100 {
        full.quality.add_round_trip(NEAR, now);
    }
    miss(&mut full, now + TENTH);
    assert_eq!(full.life.phase, Phase::Up);
    let (mut queueing, now) = used(false);
    queueing.quality.add_round_trip(QUEUED, now);
    miss(&mut queueing, now + TENTH);
    assert_eq!(queueing.life.phase, Phase::Up);
}

/// One packet of a thin flow may have been lost by chance; if the next ones are, nobody says so soon.
#[test]
fn a_path_on_which_a_single_packet_is_missing_is_asked() {
    let asked = |unreported, silence, proven_after: Option<Duration>, has_alternative| {
        let (mut member, now) = used(false);
        member.beside.has_alternative = has_alternative;
        let before = member.prober.clone();
        let sent = now + Duration::from_millis(10);
        if let Some(after) = proven_after {
            member.prove(sent + after, true, now + TENTH);
        }
        let missing = DeliveryReport {
            unreported,
            oldest_unreported: (unreported > 0).then_some(sent),
            silence,
            ..report(now, 1)
        };
        member.handle_report(&missing, now + TENTH);
        assert_eq!(member.life.phase, Phase::Up);
        assert_eq!(member.suspicion.reason(), None);
        member.prober.is_hurried() && !before.is_hurried()
    };
    assert!(asked(1, TENTH, None, true));
    assert!(!asked(0, TENTH, None, true));
    // Others came in on the path after it, it works by an answer, or there is nothing beside it.
    assert!(!asked(1, TENTH / 2, None, true));
    assert!(!asked(1, TENTH, Some(Duration::from_millis(1)), true));
    assert!(!asked(1, TENTH, None, false));
}

#[test]
fn a_full_path_that_is_back_at_once_owes_nothing_for_that() {
    let owes = |is_full, cause, phase, after: u64| {
        let (mut member, now) = used(is_full);
        member.life.phase = phase;
        let before = member.life.punishment;
        member.fail(cause, now);
        let then = now + Duration::from_millis(after);
        assert!(member.prove(now, true, then));
        member.life.punishment != before
    };
    assert!(!owes(true, Cause::Silent, Phase::Up, 200));
    assert!(!owes(true, Cause::OneWay, Phase::Up, 200));
    assert!(owes(true, Cause::Silent, Phase::Up, 400));
    assert!(owes(true, Cause::Link, Phase::Up, 200));
    assert!(owes(false, Cause::Silent, Phase::Up, 200));
}

#[test]
fn ports_of_a_wire_fail_together_unless_one_worked_meanwhile() {
    let owes = |is_full, proven: u64, hears: bool, address: &str| {
        let (mut failed, now) = used(is_full);
        let mut port = failed.clone();
        port.info.remote = address.parse().expect("an address");
        failed.suspicion.doubt(Reason::Silent, now);
        let at = now + 3 * TENTH;
        let worked = now - TENTH + Duration::from_millis(proven);
        (port.life.last_proof, port.life.last_received) = match hears {
            true => (Some(worked), Some(worked)),
            false => (Some(worked), Some(now - TENTH)),
        };
        failed.fail(Cause::Silent, at);
        port.share_failure(&failed, at);
        port.life.punishment.debt() == failed.life.punishment.debt()
    };
    assert!(owes(false, 0, true, "10.0.0.2:9994"));
    assert!(owes(false, 100, false, "10.0.0.2:9994"));
    assert!(!owes(false, 100, true, "10.0.0.2:9994"));
    assert!(!owes(false, 0, true, "10.0.0.3:9993"));
    assert!(!owes(true, 0, true, "10.0.0.2:9994"));
}

/// Whichever is told of first, and whatever the numbers of the paths.
#[test]
fn what_ports_of_a_wire_owe_for_one_moment_is_owed_once() {
    for numbers in [(1, 2), (2, 1)] {
        let (mut first, now) = used(false);
        let mut second = first.clone();
        (first.info.id, second.info.id) = (PathId(numbers.0), PathId(numbers.1));
        second.info.remote = "10.0.0.2:9994".parse().expect("an address");
        let at = now + 3 * TENTH;
        // A report tells of the first, and the second is looked at in the same moment.
        let [mut told, mut seen] = [first.clone(), second.clone()];
        assert!(told.fail(Cause::OneWay, at));
        seen.share_failure(&told, at);
        assert!(seen.fail(Cause::Silent, at));
        assert!(seen.shares_outage(&told));
        // Both are looked at, and then what that means.
        assert!(first.fail(Cause::Silent, at) && second.fail(Cause::Silent, at));
        assert!(first.shares_outage(&second));
        first.life.punishment.take_back_failure();
        assert!(!second.shares_outage(&first));
        // One that failed earlier is down already.
        second.life.since = at + TENTH;
        assert!(second.shares_outage(&first) && !first.shares_outage(&second));
    }
}

/// A trial that fails adds nothing that could be taken back.
#[test]
fn a_trial_that_failed_takes_no_older_failure_back() {
    let (mut member, now) = used(true);
    member.life.punishment.add_failure(false);
    let before = member.life.punishment;
    member.life.phase = Phase::Trial;
    member.fail(Cause::Unproven, now);
    assert!(member.prove(now, true, now + TENTH));
    assert_eq!(member.life.punishment, before);
}

#[test]
fn only_what_speaks_against_the_wire_makes_what_fits_doubtful() {
    let doubted = |happen: &dyn Fn(&mut Member, Instant)| {
        let (mut member, now) = used(true);
        happen(&mut member, now);
        let capacity = &member.quality.capacity;
        let known = [true, false].map(|for_flows| capacity.known(for_flows).unwrap_or(0));
        known[0] < known[1] / 2
    };
    for (cause, expected) in [
        (Cause::Silent, true),
        (Cause::OneWay, true),
        (Cause::Link, false),
        (Cause::Unproven, false),
    ] {
        let failed = doubted(&|member, now| assert!(member.fail(cause, now)));
        assert_eq!(failed, expected, "{cause:?}");
    }
    // Another path of the link failed: this one still works, or is silent as well.
    assert!(!doubted(&|member, now| member.suspect(now)));
    assert!(doubted(&|member, now| member.suspect(now + 2 * TENTH)));
}

#[test]
fn what_was_measured_outweighs_what_another_path_of_the_wire_carried_later() {
    let (mut measured, now) = used(true);
    let (mut other, _) = used(false);
    (measured.is_used, other.is_used) = (false, false);
    let later = now + TENTH;
    other.handle_delivery(&report(later, 1), later);
    let confirmed = |member: &Member| member.quality.capacity.confirmed();
    assert!(confirmed(&other) > confirmed(&measured));
    assert!(measured.authority() > other.authority());
    other.is_used = true;
    assert!(measured.authority() < other.authority());
}

/// A probe that left while the path was down may have waited for the next hop's address to be resolved.
#[test]
fn only_answers_of_a_path_that_works_tell_how_long_they_take() {
    let (mut member, now) = used(false);
    let answer = |member: &mut Member, sent, at| {
        let reply = Reply { sent, lost: 0 };
        member.handle_answer(reply, false, at)
    };
    answer(&mut member, now, now + NEAR);
    let failed = now + TENTH;
    member.fail(Cause::Silent, failed);
    let back = failed + 20 * TENTH;
    assert!(answer(&mut member, failed, back));
    assert_eq!(member.life.phase, Phase::Up);
    assert_eq!(member.answers.mean(), Some(NEAR));
    assert_eq!(member.quality.latency(), Some(NEAR / 2));
    assert!(!answer(&mut member, back, back + 2 * NEAR));
    let usual = member.answers.mean();
    assert!(usual > Some(NEAR));
    // What left before a failure that was none did not wait, and it took so long.
    member.fail(Cause::Silent, back + TENTH);
    assert!(!answer(&mut member, back + NEAR, back + 2 * TENTH));
    assert_eq!(member.life.cause, Cause::Late);
    assert!(member.answers.mean() > usual);
}
