//! `/controller/network`.

use protocol::NetworkId;
use serde_json::{Value, json};

use super::{ApiReply, Reply, data_with_meta, parse};
use crate::Controller;
use crate::network::Network;

impl Controller {
    pub(super) fn list_networks(&mut self) -> ApiReply {
        self.metrics.db_get_network_list += 1;
        let ids = self.networks.keys().map(|id| Value::from(id.to_string()));
        ApiReply::json(&ids.collect::<Value>())
    }

    pub(super) fn list_networks_with_records(&mut self) -> ApiReply {
        self.metrics.db_get_network_list += 1;
        let networks: Vec<Value> = self
            .networks
            .values()
            .map(|network| {
                let mut record = network.record().clone();
                let meta = json!({
                    "authorizedMemberCount": network.authorised(),
                    "totalMemberCount": network.members().len(),
                });
                record.insert("meta".into(), meta);
                Value::Object(record)
            })
            .collect();
        let meta = json!({ "networkCount": networks.len() });
        data_with_meta(networks, meta)
    }

    pub(super) fn show_network(&mut self, id: NetworkId) -> Reply {
        self.metrics.db_get_network += 1;
        self.network(id)
            .map(|network| ApiReply::json(network.record()))
    }

    pub(super) fn create_network(&mut self, body: &[u8]) -> Reply {
        let body = parse(body)?;
        let id = self.free_network_id().ok_or_else(|| ApiReply::empty(503))?;
        self.update_network(id, &body)?;
        self.show_network(id)
    }

    pub(super) fn write_network(&mut self, id: NetworkId, body: &[u8]) -> Reply {
        let body = parse(body)?;
        self.update_network(id, &body)?;
        self.show_network(id)
    }

    pub(super) fn remove_network(&mut self, id: NetworkId) -> Reply {
        let record = self.delete_network(id)?.ok_or_else(ApiReply::not_found)?;
        Ok(ApiReply::json(&record))
    }

    pub(super) fn network(&self, id: NetworkId) -> Result<&Network, ApiReply> {
        self.networks.get(&id).ok_or_else(ApiReply::not_found)
    }
}
