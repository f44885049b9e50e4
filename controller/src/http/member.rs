//! `/controller/network/<id>/member`.

use protocol::{Address, NetworkId};
use serde_json::{Map, Value, json};

use super::{ApiReply, Reply, data_with_meta, parse};
use crate::Controller;

impl Controller {
    /// Addresses and revisions. An object: the array of 1.12.1 broke clients.
    pub(super) fn list_members(&mut self, id: NetworkId) -> Reply {
        self.metrics.db_get_member_list += 1;
        let members = self.network(id)?.members().iter();
        let revisions = members.map(|(address, member)| {
            let revision = member.record().get("revision").cloned();
            (address.to_string(), revision.unwrap_or(Value::from(0)))
        });
        Ok(ApiReply::json(&revisions.collect::<Map<_, _>>()))
    }

    pub(super) fn list_members_with_records(&mut self, id: NetworkId) -> Reply {
        self.metrics.db_get_member_list += 1;
        let network = self.network(id)?;
        let members = network.members().values();
        let records = members.map(|member| Value::Object(member.record().clone()));
        let meta = json!({
            "authorizedCount": network.authorised(),
            "totalCount": network.members().len(),
        });
        Ok(data_with_meta(records.collect(), meta))
    }

    pub(super) fn show_member(&mut self, id: NetworkId, address: Address) -> Reply {
        self.metrics.db_get_network_and_member += 1;
        let members = self.network(id)?.members();
        let member = members.get(&address).ok_or_else(ApiReply::not_found)?;
        Ok(ApiReply::json(member.record()))
    }

    pub(super) fn write_member(&mut self, id: NetworkId, address: Address, body: &[u8]) -> Reply {
        let body = parse(body)?;
        self.network(id)?;
        self.update_member(id, address, &body)?;
        self.show_member(id, address)
    }

    pub(super) fn remove_member(&mut self, id: NetworkId, address: Address) -> Reply {
        let record = self.delete_member(id, address)?;
        let record = record.ok_or_else(ApiReply::not_found)?;
        Ok(ApiReply::json(&record))
    }
}
