//! How much a link may carry: at once in a datagram, and in a month.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use node::io::Command;
use serde_json::{Value, json};

use super::{errors, linked, parsed, refuses_amounts};
use crate::flows::linux_flows;
use crate::multipath::{A, B, Multipath, ms, policy, seconds};

/// Experimental (IEEE 802): nothing but the rules looks at such a frame.
const ETHERTYPE: u16 = 0x88b5;
/// Header and verb, network, Ethertype.
const BEFORE_FRAME: usize = 28 + 8 + 2;
/// Of the second and later pieces of a packet.
const FRAGMENT_HEADER: usize = 16;
/// Datagrams are no longer than this unless something is said.
const USUAL_MTU: usize = 1432;

/// Datagrams that 50 frames with so many bytes take, by length, on a link with this limit and on one of which nothing is said.
fn datagrams(mtu: usize, bytes: usize) -> [BTreeMap<usize, u64>; 2] {
    let parameters = json!({"packetsPerLink": 1, "links": {
        "sim0": {"mode": "primary", "mtu": mtu}, "sim1": {"mode": "primary"}}});
    let mut net = Multipath::new(45, 2, [policy("balance-rr", parameters), json!({})]);
    net.settle(A);
    net.load(A, &linux_flows(1), ms(10));
    net.run(seconds(1));
    net.end_loads();
    net.run(ms(100));
    net.reset();
    let to = net.world.mac(B);
    let payload = vec![7; bytes];
    for _ in 0..50 {
        net.world.send_frame(A, to, ETHERTYPE, &payload);
    }
    net.world.net.run_for(ms(100));
    // Whatever they were cut into is put together again.
    let delivered = net.world.net.nodes[B].delivered.iter();
    let whole = delivered.filter(|(_, frame)| frame.ends_with(&payload));
    assert_eq!(whole.count(), 50, "{mtu}, {bytes}");
    [1, 2].map(|link| net.lengths(A, link))
}

/// Lengths of the datagrams that a packet makes of which two pieces are enough.
fn pieces(packet: usize, mtu: usize) -> Vec<usize> {
    match packet.checked_sub(mtu) {
        Some(rest) if rest > 0 => vec![mtu, FRAGMENT_HEADER + rest],
        _ => vec![packet],
    }
}

#[test]
fn a3_link_mtu_at_its_bounds() {
    // A packet that is longer than the least, one that is just as long, and one that is longer than usual.
    for (mtu, bytes) in [
        (576, 700),
        (576, 576 - BEFORE_FRAME),
        (576, 577 - BEFORE_FRAME),
        (0, 2000),
        (65_507, 2000),
    ] {
        let packet = BEFORE_FRAME + bytes;
        let limit = if mtu == 0 { USUAL_MTU } else { mtu };
        let [limited, usual] = datagrams(mtu, bytes);
        for (lengths, limit) in [(limited, limit), (usual, USUAL_MTU)] {
            let expected = pieces(packet, limit);
            for length in &expected {
                let count = lengths.get(length).copied().unwrap_or(0);
                assert!(count >= 20, "{mtu}, {bytes}: {lengths:?}");
            }
            let longest = lengths.keys().max();
            assert_eq!(
                longest,
                expected.iter().max(),
                "{mtu}, {bytes}: {lengths:?}"
            );
        }
    }
}

#[test]
fn a3_data_cap() {
    let cap = |value: Value| parsed(&linked("dataCap", value)).links[0].data_cap;
    for (value, expected) in [
        (json!(0), None),
        (json!(1), Some(1)),
        (json!(u64::MAX), Some(u64::MAX)),
        (json!("1 B"), Some(1)),
        (json!("10GB"), Some(10_000_000_000)),
        (json!("1.5 TiB"), Some(1_649_267_441_664)),
        (json!("1000000TB"), Some(1_000_000_000_000_000_000)),
    ] {
        assert_eq!(cap(value.clone()), expected, "{value}");
    }
    let form = "bytes, or a size such as \"10GB\"";
    let wrong = [
        (json!(null), "null"),
        (json!(true), "true"),
        (json!([10]), "[10]"),
        (json!({"GB": 10}), "{\"GB\":10}"),
        (json!(-1), "-1"),
        (json!(0.5), "0.5"),
        (json!(1e300), "1e+300"),
        (json!(""), "\"\""),
        (json!("10"), "\"10\""),
        (json!("10G"), "\"10G\""),
        (json!("10Gbit"), "\"10Gbit\""),
        (json!("-1GB"), "\"-1GB\""),
        (json!("0.1 B"), "\"0.1 B\""),
        (json!("1000001TB"), "\"1000001TB\""),
    ];
    refuses_amounts("dataCap", form, wrong);
    // What a link over its cap still carries; the daemon says which is.
    let carried = |mode: &str, is_over: bool, is_alone: bool| {
        let links = json!({"sim0": {"mode": "primary"}, "sim1": {"mode": mode, "dataCap": "1 kB"}});
        let settings = policy("balance-rr", json!({"links": links}));
        assert_eq!(errors(&settings), [""; 0]);
        let mut net = Multipath::new(46, 2, [settings, json!({})]);
        net.settle(A);
        net.load(A, &linux_flows(1), ms(10));
        net.run(seconds(2));
        let over = if is_over {
            vec!["sim1".to_owned()]
        } else {
            vec![]
        };
        let over: BTreeSet<String> = over.into_iter().collect();
        net.world.net.command(A, Command::SetCapped(Arc::new(over)));
        if is_alone {
            net.cut(1);
        }
        net.run(seconds(5));
        net.reset();
        net.run(seconds(2));
        net.packets(A)[1] > 0
    };
    for (mode, is_over, expected) in [
        ("primary", false, [true, true]),
        ("primary", true, [false, true]),
        ("spare", false, [false, true]),
        ("spare", true, [false, false]),
    ] {
        let found = [false, true].map(|is_alone| carried(mode, is_over, is_alone));
        assert_eq!(found, expected, "{mode}, over its cap: {is_over}");
    }
}
