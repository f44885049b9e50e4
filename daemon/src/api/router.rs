//! Which path is answered by what (service specification C.3).

use protocol::{Address, NetworkId};
use serde_json::{Value, json};

use super::{Call, Method, Reply, bond, config, metrics, moon, network, peer, status};
use crate::control::Control;

/// Answers an authorised call.
pub async fn answer(control: &mut Control, call: &Call) -> Reply {
    // A trailing slash is fine: releases up to 1.10 took it, and published examples have it.
    let path = call.path.strip_prefix('/').unwrap_or(&call.path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').collect();
    use Method::{Delete, Get, Patch, Post};
    match (call.method, &segments[..]) {
        (_, ["controller", ..] | ["unstable", "controller", ..]) => {
            control
                .controller_api(call.method.name(), &segments, &call.body)
                .await
        }
        (Get, ["status"]) => {
            let node = control.node().status();
            let mut object = status::status(&node, &control.effective(), control.wall_now());
            // The reference has no such key, so it is there only if there is something to say.
            let problems = control.bonding_json()["problems"].take();
            if problems.as_array().is_some_and(|list| !list.is_empty()) {
                object["bondingProblems"] = problems;
            }
            Reply::ok(&object)
        }
        (Get, ["health"]) => {
            let online = control.node().status().online;
            Reply::ok(&status::health(online, control.wall_now()))
        }
        (Get, ["config"]) => config::show(control.conf()),
        (Post, ["config", "settings"]) => match config::changes(&call.body) {
            Err(error) => Reply::failure(&error.to_string()),
            Ok(None) => Reply::empty_object(200),
            Ok(Some(changes)) => match control.change_settings(&changes).await {
                Ok(()) => Reply::empty_object(200),
                Err(error) => Reply::failure(&format!("{error:#}")),
            },
        },
        (Get, ["metrics"]) => Reply::text(200, metrics::render(&control.metrics())),
        (Get, ["peer"]) => Reply::ok(&peers(control, |_| true)),
        (Get, ["peer", address]) => match address.parse::<Address>() {
            Ok(address) => {
                let found = peers(control, |other| other == address);
                Reply::ok(found.get(0).unwrap_or(&json!({})))
            }
            Err(_) => Reply::not_found(),
        },
        (Get, ["network"]) => Reply::ok(&networks(control, |_| true)),
        (method, ["network", id]) => match id.parse::<NetworkId>() {
            Ok(id) => one_network(control, method, id, &call.body).await,
            Err(_) => Reply::not_found(),
        },
        (Get, ["moon"]) => {
            let moons = control.node().moons();
            Reply::ok(&moons.iter().map(moon::to_json).collect())
        }
        (method, ["moon", id]) => match moon::parse_id(id) {
            Some(id) => one_moon(control, method, id, &call.body).await,
            None => Reply::not_found(),
        },
        (_, ["bond", rest @ ..]) => bond::answer(control, call, rest).await,
        (Get | Post | Patch | Delete, _) => Reply::not_found(),
    }
}

fn peers(control: &Control, wanted: impl Fn(Address) -> bool) -> Value {
    let wall = |time| control.wall_at(time);
    let mut peers = control.node().peers(control.now());
    peers.sort_by_key(|peer| peer.address);
    let bonds = control.bonds();
    let links = control.open_links();
    let context = bond::json::Context {
        wall_now: control.wall_now(),
        links: &links,
    };
    let shown = peers.iter().filter(|peer| wanted(peer.address));
    shown
        .map(|peer| {
            let mut object = peer::to_json(peer, wall);
            if let Some(bond) = bonds.iter().find(|bond| bond.peer == peer.address) {
                bond::json::add_bond(&mut object, peer, bond, context);
            }
            object
        })
        .collect()
}

fn networks(control: &Control, wanted: impl Fn(NetworkId) -> bool) -> Value {
    let mut networks = control.node().networks(control.now());
    networks.sort_by_key(|network| network.network);
    let shown = networks.iter().filter(|network| wanted(network.network));
    let show = |status: &node::status::NetworkStatus| {
        let id = status.network;
        let ports = control.ports();
        let device = ports.device_name(id).unwrap_or("");
        network::to_json(
            status,
            control.permissions(id),
            device,
            ports.has_failed(id),
        )
    };
    shown.map(show).collect()
}

async fn one_network(control: &mut Control, method: Method, id: NetworkId, body: &[u8]) -> Reply {
    let show = |control: &Control| networks(control, |other| other == id).get(0).cloned();
    match method {
        Method::Get => match show(control) {
            Some(network) => Reply::ok(&network),
            None => Reply::empty_object(404),
        },
        Method::Post => {
            let permissions = network::changed(control.permissions(id), body);
            match control.join(id, permissions).await {
                Ok(()) => Reply::ok(&show(control).unwrap_or_else(|| json!({}))),
                Err(error) => Reply::failure(&format!("{error:#}")),
            }
        }
        Method::Patch => Reply::not_found(),
        Method::Delete => match control.leave(id).await {
            Ok(true) => Reply::ok(&json!({"result": true})),
            Ok(false) => Reply::empty_object(200),
            Err(error) => Reply::failure(&format!("{error:#}")),
        },
    }
}

async fn one_moon(control: &mut Control, method: Method, id: u64, body: &[u8]) -> Reply {
    let held = |control: &Control| {
        let moons = control.node().moons();
        moons.iter().find(|moon| moon.id == id).map(moon::to_json)
    };
    match method {
        Method::Get => Reply::ok(&held(control).unwrap_or_else(|| json!({}))),
        Method::Post => {
            let Some(seed) = moon::seed(body) else {
                return Reply::ok(&held(control).unwrap_or_else(|| json!({})));
            };
            control.orbit(id, seed).await;
            Reply::ok(&held(control).unwrap_or_else(|| moon::waiting(id)))
        }
        Method::Patch => Reply::not_found(),
        Method::Delete => {
            control.deorbit(id).await;
            Reply::ok(&json!({"result": true}))
        }
    }
}
