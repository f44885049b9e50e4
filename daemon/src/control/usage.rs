//! Data caps of links on the control thread.

use std::sync::Arc;

use bond::BondStatus;
use node::io::Command;
use serde_json::{Value, json};

use super::Control;
use crate::bonding::presence::Present;
use crate::bonding::usage::{FILE, News, Share, Usage};

impl Control {
    /// What the home remembers of this month.
    pub(super) fn load_usage(&mut self) {
        match self.home.read(FILE) {
            Ok(content) => self.usage = Usage::from_file(&content.unwrap_or_default()),
            Err(error) => tracing::warn!("{error:#}"),
        }
    }

    /// Keeps it.
    pub(super) fn write_usage(&mut self) {
        if let Some(content) = self.usage.to_file()
            && let Err(error) = self.home.write(FILE, &content)
        {
            tracing::warn!("{error:#}");
        }
    }

    /// Counts what bonds carried of late.
    pub(super) fn count_usage(&mut self) -> News {
        let settings = self.bonding.settings();
        let policies = std::iter::once(&settings.default_policy).chain(settings.peers.values());
        let mut links = policies.flat_map(|policy| &policy.links);
        if !links.any(|link| link.data_cap.is_some()) && self.usage.reached().is_empty() {
            return News::default();
        }
        let bonds: Vec<BondStatus> = self.node.bonds(self.now());
        let wall = self.wall_now();
        let interfaces = self.capped_interfaces();
        self.usage
            .update(self.bonding.settings(), &interfaces, &bonds, wall)
    }

    /// Counts, says what is new, and has links that reached their cap used less.
    pub(super) async fn watch_usage(&mut self) {
        let news = self.count_usage();
        let wall = self.wall_now();
        let told = |name: &str, share: &Share, what: &str| {
            let Share {
                interface,
                used,
                cap,
            } = share;
            let text = format!("Link {interface} {what}: {used} of {cap} bytes this month");
            tracing::warn!("{text}");
            json!({"event": name, "interface": interface, "used": used, "cap": cap, "period": "month", "text": text})
        };
        for share in &news.warnings {
            self.events
                .add(wall, told("cap-warning", share, "comes near its data cap"));
        }
        for share in &news.reached {
            let what = "has reached its data cap and is spared from now on";
            self.events.add(wall, told("cap-reached", share, what));
        }
        if news.changed {
            let reached = Arc::new(self.usage.reached().clone());
            self.command(Command::SetCapped(reached)).await;
        }
    }

    /// For the API.
    pub(super) fn usage_json(&self) -> Value {
        let shares = self
            .usage
            .shares(self.bonding.settings(), &self.capped_interfaces());
        shares
            .iter()
            .map(|share| {
                json!({"ifname": share.interface, "used": share.used, "cap": share.cap, "period": "month"})
            })
            .collect()
    }

    /// Interfaces that have links.
    fn capped_interfaces(&self) -> Vec<Present> {
        let mut present: Vec<Present> = self
            .links
            .all()
            .into_iter()
            .map(|link| Present {
                name: link.interface,
                hardware_address: link.hardware_address,
            })
            .collect();
        present.sort_by(|a, b| a.name.cmp(&b.name));
        present.dedup_by(|a, b| a.name == b.name);
        present
    }
}
