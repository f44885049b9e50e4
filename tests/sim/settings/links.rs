//! Which links there are, and what each is for.

use std::net::SocketAddr;

use bond::EventKind;
use node::io::{Command, Link, LinkId};
use serde_json::{Value, json};

use super::{
    errors, keyed, linked, refuses, refuses_of_link, takes_booleans, takes_integers, takes_names,
    warnings,
};
use crate::flows::linux_flows;
use crate::multipath::{A, B, Multipath, ms, policy, seconds};

/// Three links under balance-rr with these entries.
fn three(links: Value) -> Multipath {
    let mut net = Multipath::new(
        41,
        3,
        [policy("balance-rr", json!({"links": links})), json!({})],
    );
    net.run(seconds(5));
    net
}

/// Packets by link of 400 ms, 1 each, under a load that was there before.
fn spread(net: &mut Multipath) -> Vec<u64> {
    net.load(A, &linux_flows(1), ms(20));
    net.run(seconds(3));
    net.reset();
    net.load(A, &linux_flows(2)[1..], ms(1));
    net.run(ms(400));
    net.end_loads();
    net.run(ms(100));
    net.packets(A)
}

/// Which links carry.
fn used(net: &mut Multipath) -> Vec<u8> {
    let packets = spread(net);
    (1..)
        .zip(packets)
        .filter(|(_, count)| *count > 0)
        .map(|(link, _)| link)
        .collect()
}

/// Whether the second of two links, with these attributes, carries anything once the first has failed.
fn carries_alone(second: Value) -> bool {
    let links = json!({"sim0": {"mode": "primary"}, "sim1": second});
    let settings = [policy("balance-rr", json!({"links": links})), json!({})];
    let mut net = Multipath::new(45, 2, settings);
    net.run(seconds(5));
    assert_eq!(used(&mut net), [1]);
    net.cut(1);
    net.load(A, &linux_flows(1), ms(20));
    net.run(seconds(10));
    net.reset();
    net.run(seconds(10));
    net.packets(A)[1] > 0
}

#[test]
fn a3_links() {
    let expected =
        |kind: &str| format!("must be an object of links or an array of names, is {kind}");
    for (value, kind) in [
        (json!("sim0"), "a string"),
        (json!(null), "null"),
        (json!(1), "a number"),
        (json!(true), "a boolean"),
    ] {
        refuses("links", value, &expected(kind));
    }
    let at = |index: &str, reason: &str| [format!("settings.balance-rr.links{index}: {reason}")];
    for (value, errors_expected) in [
        (
            json!([1]),
            at("[0]", "must be the name of a link, is a number"),
        ),
        (json!(["a", ""]), at("[1]", "a link needs a name")),
        (json!(["a", "a"]), at("[1]", "a is there already")),
        (
            json!({"": {}}),
            at("", "a link needs a name").map(|text| text.replace("links:", "links.:")),
        ),
        (json!({"a": 5}), at(".a", "must be an object, is a number")),
        (json!({"a": null}), at(".a", "must be an object, is null")),
    ] {
        assert_eq!(errors(&keyed("links", value)), errors_expected);
    }
    let many: Vec<String> = (0..257).map(|n| format!("eth{n}")).collect();
    refuses(
        "links",
        json!(many),
        "names 257 links, at most 256 are allowed",
    );
    // Only listed links carry, in either form.
    assert_eq!(used(&mut three(json!(["sim0", "sim2"]))), [1, 3]);
    assert_eq!(
        used(&mut three(
            json!({"sim0": {"mode": "primary"}, "sim2": {"mode": "primary"}})
        )),
        [1, 3]
    );
    assert_eq!(used(&mut three(json!({}))), [1, 2, 3]);
}

#[test]
fn a3_link_name() {
    // Exact, pattern; the exact name counts first.
    assert_eq!(
        used(&mut three(
            json!({"sim?": {"mode": "primary"}, "sim1": {"mode": "never"}})
        )),
        [1, 3]
    );
    assert_eq!(used(&mut three(json!(["s*2"]))), [3]);
    // By hardware address, however it is written.
    let mut net =
        three(json!({"02:00:00:00:0A:03": {"mode": "primary"}, "sim0": {"mode": "primary"}}));
    let mut links = net.world.net.nodes[A].links.clone();
    for (number, link) in (1..).zip(&mut links) {
        link.hardware_address = Some(protocol::MacAddress([2, 0, 0, 0, 10, number]));
        link.id = LinkId(850 + u32::from(number));
    }
    net.world.net.nodes[A].links.clone_from(&links);
    net.world.net.command(A, Command::SetLinks(links));
    net.run(seconds(6));
    assert_eq!(used(&mut net), [1, 3]);
    // What is not there is waited for.
    let mut net = three(json!({"sim0": {"mode": "primary"}, "eth9": {"mode": "primary"}}));
    assert_eq!(used(&mut net), [1]);
    let mut links = net.world.net.nodes[A].links.clone();
    "eth9".clone_into(&mut links[2].interface);
    links[2].id = LinkId(900);
    net.world.net.nodes[A].links.clone_from(&links);
    net.world.net.command(A, Command::SetLinks(links));
    net.run(seconds(6));
    assert_eq!(used(&mut net), [1, 3]);
}

#[test]
fn a3_user_listed_links() {
    // None of the listed ones is there: the bond says so, and what it does not carry takes the ordinary way.
    let mut net = three(json!(["eth9"]));
    assert!(
        net.events(A)
            .iter()
            .any(|event| matches!(event, EventKind::NoLink { .. }))
    );
    assert_eq!(used(&mut net).len(), 1);
    // One that is listed and does not work does not call for one that is not.
    let mut net = three(json!(["sim0", "sim1"]));
    net.cut(1);
    net.run(seconds(5));
    assert_eq!(used(&mut net), [2]);
}

#[test]
fn a3_link_mode() {
    let names = ["primary", "secondary", "spare", "never"];
    takes_names("settings.balance-rr.links.sim0.mode", &names, |value| {
        linked("mode", value)
    });
    let with = |mode: &str| three(json!({"sim0": {"mode": "primary"}, "sim1": {"mode": mode}}));
    assert_eq!(used(&mut with("primary")), [1, 2]);
    for mode in ["secondary", "spare", "never"] {
        assert_eq!(used(&mut with(mode)), [1], "{mode}");
    }
    // When nothing else works.
    for (mode, carries) in [("secondary", true), ("spare", true), ("never", false)] {
        let mut net = with(mode);
        net.cut(1);
        net.run(seconds(5));
        net.run(seconds(5));
        assert_eq!(spread(&mut net)[1] > 0, carries, "{mode}");
    }
    // A link that may never carry anything does not, even where nothing else works.
    assert!(carries_alone(json!({"mode": "spare"})));
    assert!(!carries_alone(json!({"mode": "never"})));
    // Secondary links help once the primary ones are more than 80 % full.
    let speeds = json!({"sim0": {"mode": "primary", "speed": "4Mbit"}, "sim1": {"mode": "secondary", "speed": "4Mbit"}});
    for (interval, helps) in [(ms(4), false), (ms(1), true)] {
        let mut net = three(speeds.clone());
        net.load(A, &linux_flows(1), interval);
        net.run(seconds(10));
        net.reset();
        net.run(seconds(1));
        assert_eq!(net.packets(A)[1] > 0, helps, "{interval:?}");
    }
}

#[test]
fn a3_link_failover_to() {
    refuses_of_link("failoverTo", json!("sim1"), "sim1 is not among the links");
    refuses_of_link("failoverTo", json!("sim0"), "leads back to the link itself");
    for (value, kind) in super::no_strings() {
        refuses_of_link("failoverTo", value, &format!("must be a string, is {kind}"));
    }
    let circle =
        json!({"a": {"failoverTo": "b"}, "b": {"failoverTo": "c"}, "c": {"failoverTo": "a"}});
    let expected = ["a", "b", "c"].map(|link| {
        format!("settings.balance-rr.links.{link}.failoverTo: leads back to the link itself")
    });
    assert_eq!(errors(&keyed("links", circle)), expected);
    // A chain over spares, against the order of names.
    let links = json!({"sim0": {"mode": "primary", "failoverTo": "sim3"}, "sim1": {},
        "sim2": {"failoverTo": "sim1"}, "sim3": {"failoverTo": "sim2"}});
    let mut net = Multipath::new(
        42,
        4,
        [policy("active-backup", json!({"links": links})), json!({})],
    );
    net.load(A, &linux_flows(1), ms(20));
    net.load(B, &linux_flows(1), ms(20));
    net.run(seconds(5));
    let mut order = vec![net.active(A)];
    for _ in 0..3 {
        net.cut(net.active(A));
        net.run(seconds(5));
        order.push(net.active(A));
    }
    assert_eq!(order, [1, 4, 3, 2]);
}

#[test]
fn a3_failover_rules() {
    // A link stands outside the rules: it is shown as refused and carries nothing, whatever happens.
    for (outside, next) in [(2, 3), (3, 2)] {
        let mut links = json!({"sim0": {"mode": "primary"}, "sim1": {}, "sim2": {}});
        links["sim0"]["failoverTo"] = json!(format!("sim{}", next - 1));
        let settings = policy("active-backup", json!({"links": links}));
        let mut net = Multipath::new(43, 3, [settings, json!({})]);
        net.load(A, &linux_flows(1), ms(20));
        net.run(seconds(5));
        let refused = |net: &Multipath| {
            net.events(A).iter().any(|event| {
                matches!(
                    event,
                    EventKind::PathRefused {
                        reason: "outside the failover rules",
                        ..
                    }
                )
            })
        };
        assert!(refused(&net));
        net.cut(1);
        net.run(seconds(5));
        assert_eq!(net.active(A), next);
        net.cut(next);
        net.run(seconds(5));
        let lost =
            |event: &&EventKind| matches!(event, EventKind::StateChanged { alive_links: 0, .. });
        assert!(net.events(A).iter().any(lost), "{:?}", net.events(A));
        net.run(seconds(5));
        let carried = |net: &mut Multipath, link| net.carried(A, link).0;
        assert!(carried(&mut net, 1) > 0 && carried(&mut net, next) > 0);
        assert_eq!(carried(&mut net, outside), 0);
    }
}

#[test]
pub(crate) fn a3_enabled() {
    once!(enabled_has_an_effect);
}

fn enabled_has_an_effect() {
    takes_booleans("settings.balance-rr.links.sim0.enabled", |value| {
        linked("enabled", value)
    });
    let links = |enabled: bool| json!({"sim0": {"mode": "primary"}, "sim1": {"mode": "primary", "enabled": enabled}, "sim2": {"mode": "primary"}});
    assert_eq!(used(&mut three(links(true))), [1, 2, 3]);
    let mut net = three(links(false));
    assert_eq!(used(&mut net), [1, 3]);
    // Not even probes.
    net.reset();
    net.load(A, &linux_flows(1), ms(10));
    net.run(seconds(10));
    assert_eq!((net.packets(A)[1], net.probes(A, 2)), (0, 0));
    assert!(carries_alone(json!({"mode": "spare", "enabled": true})));
    assert!(!carries_alone(json!({"mode": "spare", "enabled": false})));
}

#[test]
fn a3_ipv_pref() {
    for value in [0, 4, 6, 46, 64] {
        assert_eq!(errors(&linked("ipvPref", json!(value))), [""; 0]);
    }
    for value in [
        json!(5),
        json!(260),
        json!(-4),
        json!("4"),
        json!(null),
        json!(4.5),
        json!([4]),
        json!({}),
        json!(true),
    ] {
        refuses_of_link("ipvPref", value, "must be 0, 4, 6, 46 or 64");
    }
    // Two interfaces with both versions; packets by interface and version.
    let carried = |preference: u8, dead: Option<bool>| {
        let parameters = json!({"links": {
            "sim0": {"mode": "primary", "ipvPref": preference}, "sim1": {"mode": "primary", "ipvPref": preference}}});
        let mut net = Multipath::new(44, 2, [json!({}), json!({})]);
        add_v6(&mut net);
        net.world.net.command(
            A,
            crate::multipath::bonding(&policy("balance-rr", parameters)),
        );
        // Members tell each other their further addresses while they have something to say.
        net.load(A, &linux_flows(1), ms(5));
        net.load(B, &linux_flows(1), ms(50));
        let known = net.run_until(seconds(60), |net| {
            net.bond(A).is_some_and(|bond| bond.paths.len() == 4)
        });
        assert!(known.is_some(), "{:#?}", net.bond(A));
        if let Some(v4) = dead {
            for link in 1..=2 {
                for (from, to) in [(A, B), (B, A)] {
                    let (from, to) = if v4 {
                        (
                            crate::multipath::ip(from, link),
                            crate::multipath::ip(to, link),
                        )
                    } else {
                        (v6(from, link).ip(), v6(to, link).ip())
                    };
                    net.world.net.wire(from, to).is_dead = true;
                }
            }
        }
        net.run(seconds(6));
        net.reset();
        net.run(ms(400));
        let sent = &net.world.net.nodes[A].sent;
        let of = |v4: bool| {
            sent.iter()
                .filter(|sent| {
                    sent.bytes.len() == crate::flows::DATAGRAM_LENGTH && sent.to.is_ipv4() == v4
                })
                .count()
                > 20
        };
        (of(true), of(false))
    };
    assert_eq!(carried(0, None), (true, true));
    assert_eq!(carried(4, None), (true, false));
    assert_eq!(carried(6, None), (false, true));
    assert_eq!(carried(46, None), (true, false));
    assert_eq!(carried(64, None), (false, true));
    // First is not only.
    assert_eq!(carried(46, Some(true)), (false, true));
    assert_eq!(carried(64, Some(false)), (true, false));
}

fn v6(node: usize, link: u8) -> SocketAddr {
    format!("[2001:db8:{link}::{node}]:9993")
        .parse()
        .expect("an address")
}

/// Both members get IPv6 addresses on their interfaces.
fn add_v6(net: &mut Multipath) {
    for (a, b) in [(1, 2), (2, 1)] {
        net.world.net.block(v6(A, a).ip(), v6(B, b).ip());
    }
    for node in [A, B] {
        let mut links = net.world.net.nodes[node].links.clone();
        for number in 1..=2u8 {
            links.push(Link {
                id: LinkId(800 + 10 * node as u32 + u32::from(number)),
                local: v6(node, number),
                interface: format!("sim{}", number - 1),
                hardware_address: None,
            });
        }
        net.world.net.nodes[node].links.clone_from(&links);
        net.world.net.command(node, Command::SetLinks(links));
    }
    net.introduce();
    net.run(seconds(2));
}

#[test]
fn a3_link_mtu() {
    assert_eq!(errors(&linked("mtu", json!(0))), [""; 0]);
    // 0 is said to mean that the limit is found out.
    for number in [576, 65_507] {
        assert_eq!(errors(&linked("mtu", json!(number))), [""; 0]);
    }
    for value in [575u64, 1, 65_508] {
        refuses_of_link(
            "mtu",
            json!(value),
            &format!("must be an integer from 576 to 65507, is {value}"),
        );
    }
    for (value, name) in super::no_integers() {
        refuses_of_link(
            "mtu",
            value,
            &format!("must be an integer from 576 to 65507, is {name}"),
        );
    }
}

#[test]
fn a3_unknown_keys_are_warned_of() {
    let expected = |place: &str| {
        [format!(
            "settings.balance-rr.{place}: is no key that is known here, and has no effect"
        )]
    };
    assert_eq!(
        warnings(&keyed("failoverIntervall", json!(1))),
        expected("failoverIntervall")
    );
    assert_eq!(
        warnings(&linked("colour", json!(1))),
        expected("links.sim0.colour")
    );
    // Known words that do not belong there are none.
    takes_integers("settings.balance-rr.packetsPerLink", 0, 65_535, |value| {
        keyed("packetsPerLink", value)
    });
}
