//! Links that fail, and come back.

use std::collections::BTreeSet;
use std::time::Duration;

use bond::{BasePolicy, LinkEvent};
use node::io::{Command, Input, LinkId};

use crate::lab::{
    A, B, SECOND, TICK, active, block, entry, exchange, exchange_until, frames_by_link, ip,
    planned, policy, two,
};

#[test]
fn active_backup_leaves_a_dead_path_within_the_interval() {
    let mut net = two(3, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    block(&mut net, first);
    let took = exchange_until(&mut net, 5 * SECOND, |net| active(net) != first).unwrap();
    assert!(took <= Duration::from_millis(700), "{took:?}");
    // What the control plane sends itself follows.
    let from = net.nodes[A].sent.len();
    exchange(&mut net, SECOND);
    let second = active(&net);
    assert_eq!(
        frames_by_link(&net, from).into_keys().collect::<Vec<_>>(),
        [second]
    );
}

#[test]
fn a_way_that_works_only_towards_us_is_left() {
    let mut net = two(7, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    net.block_one_way(ip(A, first), ip(B, first));
    let took = exchange_until(&mut net, 5 * SECOND, |net| active(net) != first).unwrap();
    assert!(took <= SECOND, "{took:?}");
}

#[test]
fn the_news_of_a_lost_carrier_needs_no_interval() {
    let mut net = two(8, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    let interface = format!("sim{}", first - 1);
    let event = LinkEvent::Down;
    net.command(A, Command::LinkState { interface, event });
    let from = net.nodes[A].sent.len();
    net.run_for(TICK);
    assert_ne!(active(&net), first);
    // Nothing goes into the void: no frame, no probe, no HELLO to whomever.
    let dead = net.nodes[A].links[usize::from(first) - 1].id;
    exchange(&mut net, 200 * SECOND);
    let sent = &net.nodes[A].sent[from..];
    assert!(sent.iter().any(|transmit| transmit.link.is_some()));
    assert!(
        sent.iter()
            .all(|transmit| transmit.link.is_some_and(|link| link != dead))
    );
    let event = LinkEvent::Up;
    let interface = format!("sim{}", first - 1);
    net.command(A, Command::LinkState { interface, event });
    exchange(&mut net, 2 * SECOND);
    let status = &net.nodes[A].node.bonds(net.now())[0];
    assert_eq!((status.alive_links, status.total_links), (3, 3));
}

#[test]
fn a_refused_datagram_is_news_too() {
    let mut net = two(9, [Some(policy(BasePolicy::ActiveBackup)), None]);
    let first = active(&net);
    let entry = entry(&net, A, B);
    let path = entry.paths[usize::from(entry.plan.paths()[0])].key;
    // EHOSTUNREACH
    net.handle(A, Input::SendFailed { path, errno: 113 });
    net.run_for(TICK);
    assert_ne!(active(&net), first);
}

#[test]
fn a_link_that_is_pulled_and_put_back_carries_again() {
    let mut net = two(10, [Some(policy(BasePolicy::BalanceXor)), None]);
    let mut links = net.nodes[A].links.clone();
    let pulled = links.remove(1);
    net.nodes[A].links.clone_from(&links);
    net.command(A, Command::SetLinks(links.clone()));
    net.run_for(TICK);
    assert_eq!(
        planned(&net, A, B)
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len(),
        2
    );
    exchange(&mut net, 5 * SECOND);
    links.insert(
        1,
        node::io::Link {
            id: LinkId(1000),
            ..pulled
        },
    );
    net.nodes[A].links.clone_from(&links);
    net.command(A, Command::SetLinks(links));
    let paths = exchange_until(&mut net, 5 * SECOND, |net| {
        entry(net, A, B).paths.len() == 3
    });
    assert!(paths.unwrap() <= SECOND);
    let back = exchange_until(&mut net, 20 * SECOND, |net| planned(net, A, B).contains(&2));
    assert!(back.is_some(), "{:?}", net.nodes[A].node.bonds(net.now()));
}
