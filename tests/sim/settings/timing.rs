//! How soon links are left and taken back, and how often they are asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::{keyed, linked, parsed, takes_integers, takes_names, warnings};
use crate::flows::linux_flows;
use crate::multipath::{A, B, KINDS, Kind, Multipath, ms, policy, seconds};

/// How long an idle bond keeps a link that went silent, if it is asked all the time.
fn time_to_leave(parameters: Value, kind: Kind) -> Duration {
    let mut parameters = parameters;
    parameters["monitorStrategy"] = json!("active");
    let mut net = Multipath::of_kind(kind, 31, 2, [policy("balance-rr", parameters), json!({})]);
    net.settle(A);
    net.run(seconds(3));
    net.cut(1);
    let took = net.run_until(seconds(200), |net| net.planned(A) == [2]);
    took.expect("it is left")
}

/// The same where it goes silent just after an answer, and `links` - 1 others stay: the longest that it can take.
fn longest_to_leave(interval: u32, kind: Kind, links: u8) -> Duration {
    let parameters = json!({"monitorStrategy": "active", "failoverInterval": interval});
    let settings = [policy("balance-rr", parameters), json!({})];
    let mut net = Multipath::of_kind(kind, 36, links, settings);
    net.settle(A);
    net.run(seconds(3));
    net.reset();
    while net.probes(A, 1) == 0 {
        net.run(ms(1));
    }
    net.run(ms(20));
    net.cut(1);
    let left = usize::from(links - 1);
    let took = net.run_until(seconds(200), |net| {
        net.bond(A).is_some_and(|bond| bond.alive_links == left)
    });
    took.expect("it is left")
}

/// How long a link that is asked nothing stays in use after the last packet came in over it.
fn time_to_leave_unasked(parameters: Value, link: u8) -> Duration {
    let mut parameters = parameters;
    parameters["monitorStrategy"] = json!("passive");
    // Nor is it left for what is lost.
    parameters["linkQuality"] = json!({"plr_max": 1});
    let both = || policy("balance-rr", parameters.clone());
    let mut net = Multipath::new(37, 2, [both(), both()]);
    net.settle(B);
    net.settle(A);
    net.load(A, &linux_flows(1), ms(5));
    net.load(B, &linux_flows(1), ms(5));
    // Silence before the first packets may have passed for a failure.
    net.run(seconds(30));
    let before = net.planned(A);
    assert!(before.contains(&1) && before.contains(&2), "{before:?}");
    net.cut(link);
    let took = net.run_until(seconds(200), |net| net.planned(A) == [3 - link]);
    took.expect("it is left")
}

/// Probes of the first of two links in 160 s without traffic.
fn probes_of_first(parameters: Value, kind: Kind) -> u64 {
    let mut parameters = parameters;
    parameters["monitorStrategy"] = json!("active");
    let settings = [policy("balance-rr", parameters), json!({})];
    let mut net = Multipath::of_kind(kind, 35, 2, settings);
    net.settle(A);
    net.run(seconds(40));
    net.reset();
    net.run(seconds(160));
    net.probes(A, 1)
}

#[test]
fn a3_failover_interval() {
    let place = "settings.balance-rr.failoverInterval";
    takes_integers(place, 50, 65_535, |value| keyed("failoverInterval", value));
    assert_eq!(parsed(&json!({})).failover_interval, seconds(1));
    let warning =
        format!("{place}: is below 250 ms: a moment of congestion may pass for a failure");
    assert_eq!(warnings(&keyed("failoverInterval", json!(249))), [warning]);
    assert_eq!(warnings(&keyed("failoverInterval", json!(250))), [""; 0]);
    // How long a path may go unproven at most, and how often it is asked.
    for (interval, most) in [(500, 720), (2000, 2060), (8000, 8060), (65_535, 65_600)] {
        let took = time_to_leave(json!({"failoverInterval": interval}), Kind::Plain);
        assert!(took <= ms(most), "{interval}: {took:?}");
    }
    for (interval, probes) in [(1000, 400), (8000, 50)] {
        let asked = probes_of_first(json!({"failoverInterval": interval}), Kind::Plain);
        assert!(asked.abs_diff(probes) <= probes / 5, "{interval}: {asked}");
    }
    // The least is in effect for peers that answer so often, and half a second for others.
    let took = time_to_leave(json!({"failoverInterval": 50}), Kind::Plain);
    assert!(took <= ms(720), "{took:?}");
    let took = time_to_leave(json!({"failoverInterval": 50}), Kind::Ours);
    assert!(took <= ms(150), "{took:?}");
}

#[test]
fn a3_failover_interval_is_waited_for() {
    for (interval, kind) in [
        (500, Kind::Plain),
        (8000, Kind::Ours),
        (65_535, Kind::Plain),
    ] {
        // Without another link nothing but the interval decides: it goes by since the last proof.
        let whole = ms(u64::from(interval));
        let took = longest_to_leave(interval, kind, 1);
        let expected = whole * 9 / 10 - ms(50)..=whole + ms(60);
        assert!(expected.contains(&took), "{kind:?}, {interval}: {took:?}");
        // With one three missing answers do, but the next question waits for its time.
        let took = longest_to_leave(interval, Kind::Plain, 2);
        let expected = whole * 35 / 100..=(whole + ms(60)).max(ms(720));
        assert!(expected.contains(&took), "{interval}: {took:?}");
        // Without questions silence has to last so long; packets come in for 40 ms, then 40 ms on the other link.
        let took = time_to_leave_unasked(json!({"failoverInterval": interval}), 1);
        let expected = whole - ms(100)..=whole + ms(60);
        assert!(expected.contains(&took), "{interval}: {took:?}");
    }
}

#[test]
fn a3_failover_interval_of_stock_peers_is_half_a_second_at_least() {
    let effective = |interval: u32, kind| {
        let parameters = json!({"failoverInterval": interval});
        let mut net =
            Multipath::of_kind(kind, 38, 2, [policy("balance-rr", parameters), json!({})]);
        net.settle(A);
        net.bond(A).expect("a bond").failover_interval
    };
    for (kind, least) in [(Kind::Plain, ms(500)), (Kind::Ours, ms(50))] {
        assert_eq!(effective(50, kind), least);
        assert_eq!(effective(501, kind), ms(501));
    }
    // Towards a stock peer 50 asks no more often than 500 does, and leaves no sooner.
    let probes = |interval: u32, kind| probes_of_first(json!({"failoverInterval": interval}), kind);
    assert_eq!(probes(50, Kind::Plain), probes(500, Kind::Plain));
    assert!(probes(50, Kind::Ours) > 4 * probes(50, Kind::Plain));
    assert!(probes(500, Kind::Ours) < probes(50, Kind::Plain));
    let left = |interval: u32, kind| time_to_leave(json!({"failoverInterval": interval}), kind);
    let plain = [50, 500].map(|interval| left(interval, Kind::Plain));
    assert!(plain[0].abs_diff(plain[1]) <= ms(100), "{plain:?}");
    let ours = left(50, Kind::Ours);
    assert!(2 * ours < plain[0], "{ours:?}, {plain:?}");
    // Nor is silence held against a link sooner; and a link's own interval is held to that, too.
    let links = json!({"failoverInterval": 4000, "links": {
        "sim0": {"mode": "primary", "failoverInterval": 50}, "sim1": {"mode": "primary"}}});
    for parameters in [json!({"failoverInterval": 50}), links] {
        let took = time_to_leave_unasked(parameters, 1);
        assert!((ms(400)..=ms(560)).contains(&took), "{took:?}");
    }
}

#[test]
fn a3_link_failover_interval() {
    takes_integers(
        "settings.balance-rr.links.sim0.failoverInterval",
        50,
        65_535,
        |value| linked("failoverInterval", value),
    );
    let links = |interval: u32| {
        json!({"failoverInterval": 4000, "links": {
            "sim0": {"mode": "primary", "failoverInterval": interval}, "sim1": {"mode": "primary"}}})
    };
    let took = time_to_leave(links(500), Kind::Plain);
    assert!((ms(200)..=ms(720)).contains(&took), "{took:?}");
    // The policy's 4000 ms would mean 100.
    let asked = probes_of_first(links(10_000), Kind::Plain);
    assert!((36..=50).contains(&asked), "{asked}");
    // Each link has its own time.
    for (link, expected) in [(1, ms(7000)), (2, ms(4000))] {
        let took = time_to_leave_unasked(links(7000), link);
        let expected = expected - ms(100)..=expected + ms(60);
        assert!(expected.contains(&took), "{link}: {took:?}");
    }
}

/// How long the primary link waits after it came back.
fn time_to_return(parameters: Value, kind: Kind) -> Duration {
    let mut parameters = parameters;
    for (key, value) in [
        ("failoverInterval", json!(500)),
        ("linkSelectMethod", json!("always")),
    ] {
        parameters[key] = value;
    }
    let link = &mut parameters["links"]["sim0"];
    link["mode"] = json!("primary");
    parameters["links"]["sim1"] = json!({});
    let mut net = Multipath::of_kind(
        kind,
        32,
        2,
        [policy("active-backup", parameters), json!({})],
    );
    net.settle(A);
    net.load(A, &linux_flows(1), ms(20));
    net.load(B, &linux_flows(1), ms(20));
    net.run(seconds(2));
    assert_eq!(net.active(A), 1);
    net.cut(1);
    net.run(seconds(3));
    assert_eq!(net.active(A), 2);
    net.mend(1);
    let took = net.run_until(seconds(60), |net| net.active(A) == 1);
    took.expect("it comes back")
}

#[test]
fn a3_up_delay() {
    takes_integers("settings.balance-rr.upDelay", 0, 600_000, |value| {
        keyed("upDelay", value)
    });
    for kind in KINDS {
        let took = time_to_return(json!({}), kind);
        assert!(took <= seconds(1), "{kind:?}: {took:?}");
        let took = time_to_return(json!({"upDelay": 10_000}), kind);
        let expected = ms(9900)..=seconds(11);
        assert!(expected.contains(&took), "{kind:?}: {took:?}");
    }
}

#[test]
fn a3_down_delay() {
    takes_integers("settings.balance-rr.downDelay", 0, 600_000, |value| {
        keyed("downDelay", value)
    });
    let without = time_to_leave(json!({"failoverInterval": 500}), Kind::Plain);
    let with = time_to_leave(
        json!({"failoverInterval": 500, "downDelay": 6000}),
        Kind::Plain,
    );
    let more = with.saturating_sub(without);
    assert!(
        (ms(5700)..=ms(6300)).contains(&more),
        "{without:?}, {with:?}"
    );
}

#[test]
fn a3_link_up_delay_down_delay() {
    for key in ["upDelay", "downDelay"] {
        takes_integers(
            &format!("settings.balance-rr.links.sim0.{key}"),
            0,
            600_000,
            |value| linked(key, value),
        );
    }
    for kind in KINDS {
        let parameters = json!({"upDelay": 50_000, "links": {"sim0": {"upDelay": 5000}}});
        let took = time_to_return(parameters, kind);
        assert!(
            (ms(4900)..=seconds(6)).contains(&took),
            "{kind:?}: {took:?}"
        );
    }
    let parameters = json!({"failoverInterval": 500, "downDelay": 60_000, "links": {
        "sim0": {"mode": "primary", "downDelay": 2000}, "sim1": {"mode": "primary"}}});
    let took = time_to_leave(parameters, Kind::Plain);
    assert!((ms(2200)..=ms(2750)).contains(&took), "{took:?}");
}

#[test]
pub(crate) fn a3_monitor_strategy() {
    once!(monitor_strategy_has_an_effect);
}

fn monitor_strategy_has_an_effect() {
    for key in ["monitorStrategy", "pathMonitorStrategy"] {
        let names = ["active", "dynamic", "passive"];
        takes_names(&format!("settings.balance-rr.{key}"), &names, |value| {
            keyed(key, value)
        });
    }
    let both =
        json!({"balance-rr": {"monitorStrategy": "active", "pathMonitorStrategy": "active"}});
    assert_eq!(
        super::errors(&both),
        [
            "settings.balance-rr.pathMonitorStrategy: means the same as monitorStrategy, which is there too"
        ]
    );
    // Probes of one link in five minutes without traffic, and in half a minute with some.
    let probes = |key: &str, name: &str| {
        let parameters = json!({key: name, "failoverInterval": 1000});
        let both = || policy("balance-rr", parameters.clone());
        let mut net = Multipath::new(33, 2, [both(), both()]);
        net.settle(B);
        net.settle(A);
        net.run(seconds(60));
        net.reset();
        net.run(seconds(300));
        let idle = net.probes(A, 1);
        net.load(A, &linux_flows(1), ms(100));
        net.load(B, &linux_flows(1), ms(100));
        net.run(seconds(5));
        net.reset();
        net.run(seconds(30));
        (idle, net.probes(A, 1))
    };
    let (idle, used) = probes("pathMonitorStrategy", "active");
    assert!(
        (700..=880).contains(&idle) && (60..=180).contains(&used),
        "{idle}, {used}"
    );
    let (idle, used) = probes("monitorStrategy", "dynamic");
    assert!(
        (6..=10).contains(&idle) && (90..=180).contains(&used),
        "{idle}, {used}"
    );
    assert_eq!(probes("monitorStrategy", "passive"), (0, 0));
}

#[test]
fn a3_cost() {
    takes_integers(
        "settings.balance-rr.links.sim0.cost",
        0,
        u32::MAX.into(),
        |value| linked("cost", value),
    );
    // Probes of a waiting link in ten minutes of traffic; two thirds of those of a metered one keep the path as without
    // bonding.
    let probes = |cost: u32| {
        let parameters = json!({"links": {"sim0": {"mode": "primary"}, "sim1": {"mode": "spare", "cost": cost}}});
        let mut net = Multipath::new(34, 2, [policy("active-backup", parameters), json!({})]);
        net.settle(A);
        net.load(A, &linux_flows(1), ms(200));
        net.load(B, &linux_flows(1), ms(200));
        net.run(seconds(60));
        net.reset();
        net.run(seconds(600));
        net.probes(A, 2)
    };
    let (free, metered) = (probes(0), probes(1));
    assert!(
        (50..=110).contains(&free) && (10..=45).contains(&metered),
        "{free}, {metered}"
    );
}
