//! Links that lose packets by chance: they are worse than others, and no failures.

use bond::EventKind;
use serde_json::json;

use crate::flows::linux_flows;
use crate::multipath::{A, B, KINDS, Kind, Multipath, ms, policy, seconds};

/// How often a path of either member left service for another reason than its loss.
fn failures(net: &Multipath) -> usize {
    let is_failure = |event: &&EventKind| {
        matches!(
            event,
            EventKind::PathIneligible {
                reason: "down" | "one way",
                ..
            }
        )
    };
    let of = |node| net.events(node).into_iter().filter(is_failure).count();
    of(A) + of(B)
}

/// Both links lose that much each way while 32 flows send ten packets a second each, all at once.
fn failures_at(kind: Kind, base: &str, per_mille: u32, minutes: u64) -> usize {
    let limits = json!({"linkQuality": {"plr_max": 0.5}});
    let both = || policy(base, limits.clone());
    let mut net = Multipath::of_kind(kind, 71, 2, [both(), both()]);
    net.settle(A);
    net.load(A, &linux_flows(32), ms(100));
    net.load(B, &linux_flows(32), ms(100));
    net.run(seconds(5));
    let before = failures(&net);
    for link in 1..=2 {
        net.both(link, |wire| wire.conditions.loss_per_mille = per_mille);
    }
    for _ in 0..minutes {
        net.run(seconds(60));
        net.forget_old();
    }
    failures(&net) - before
}

#[test]
fn loss_by_chance_is_no_failure() {
    for kind in KINDS {
        for (base, per_mille, minutes) in [
            ("balance-xor", 25, 2),
            ("balance-xor", 100, 10),
            ("balance-rr", 50, 2),
        ] {
            let count = failures_at(kind, base, per_mille, minutes);
            assert_eq!(count, 0, "{kind:?}, {base}, {per_mille} per mille");
        }
    }
}
