//! What the operator asks for through the API.

use anyhow::Result;
use node::io::Command;
use protocol::{Address, NetworkId};
use serde_json::{Map, Value};

use super::Control;
use crate::api::Reply;
use crate::api::metrics::Sources;
use crate::api::status::Effective;
use crate::home::Permissions;
use crate::local_conf;

impl Control {
    /// Joins a network, or changes what a joined one may do.
    pub async fn join(&mut self, network: NetworkId, permissions: Permissions) -> Result<()> {
        let joined = self.permissions.contains_key(&network);
        self.home.remember_network(network)?;
        self.home.save_permissions(network, &permissions)?;
        self.permissions.insert(network, permissions.clone());
        if joined {
            self.ports.set_permissions(network, permissions);
            self.dirty_ports.insert(network);
            self.settle().await;
            return Ok(());
        }
        let cached = self.home.cached_config(network).unwrap_or_else(|error| {
            tracing::warn!("{error:#}");
            None
        });
        self.command(Command::Join { network, cached }).await;
        Ok(())
    }

    /// Leaves a network; false if it was not joined.
    pub async fn leave(&mut self, network: NetworkId) -> Result<bool> {
        if self.permissions.remove(&network).is_none() {
            return Ok(false);
        }
        self.command(Command::Leave(network)).await;
        // In case that the node had no device for it.
        self.ports.remove(network, &mut self.dataplane);
        self.home.forget_network(network)?;
        Ok(true)
    }

    /// Asks for a moon.
    pub async fn orbit(&mut self, moon: u64, seed: Address) {
        self.command(Command::Orbit {
            moon,
            seed: Some(seed),
        })
        .await;
    }

    /// Forgets a moon.
    pub async fn deorbit(&mut self, moon: u64) {
        self.command(Command::Deorbit(moon)).await;
    }

    /// Answers a call for the embedded controller, and sends what follows from it.
    pub async fn controller_api(&mut self, method: &str, path: &[&str], body: &[u8]) -> Reply {
        let now = self.wall_now();
        let reply = self.controller.handle_api(method, path, body, now);
        self.take_effects();
        self.settle().await;
        Reply {
            status: reply.status,
            content_type: reply.content_type,
            body: reply.body,
        }
    }

    /// Puts `changes` into `settings` of local.conf, and applies it.
    pub async fn change_settings(&mut self, changes: &Map<String, Value>) -> Result<()> {
        let content = self.conf.with_settings(changes);
        self.home.write(local_conf::FILE, &content)?;
        self.reload_conf().await;
        Ok(())
    }

    /// What `/status` shows of the daemon.
    pub fn effective(&self) -> Effective<'_> {
        Effective {
            conf: &self.conf,
            home: self.home.root(),
            listening_on: self.listening_on(),
            primary_port: self.primary_port,
            secondary_port: self.secondary_port.unwrap_or(0),
            tertiary_port: self.tertiary_port.unwrap_or(0),
        }
    }

    /// What `/metrics` shows.
    pub fn metrics(&self) -> Sources {
        let now = self.now();
        Sources {
            node: self.node.status(),
            networks: self.node.networks(now),
            peers: self.node.peers(now),
            workers: self.dataplane.counters(),
            control: self.dataplane.control_counters(),
            controller: self.controller.metrics(),
        }
    }
}
