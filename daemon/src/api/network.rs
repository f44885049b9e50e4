//! `/network`.

use node::status::NetworkStatus;
use protocol::network_config::{DEFAULT_MTU, FLAG_BROADCAST, NetworkConfig, Route};
use serde_json::{Value, json};

use crate::home::Permissions;

/// What `portError` shows while there is no device.
const NO_DEVICE: i32 = -999;

/// One joined network.
pub fn to_json(
    network: &NetworkStatus,
    permissions: &Permissions,
    device: &str,
    device_failed: bool,
) -> Value {
    let config = network.config.as_ref();
    let groups: Vec<Value> = network
        .groups
        .iter()
        // Broadcast belongs to every network that has it; the reference does not list it.
        .filter(|group| !(group.mac.is_broadcast() && group.adi == 0))
        .map(|group| json!({"adi": group.adi, "mac": group.mac.to_string()}))
        .collect();
    let id = network.network.to_string();
    let mut value = json!({
        "allowDNS": permissions.allow_dns,
        "allowDefault": permissions.allow_default,
        "allowGlobal": permissions.allow_global,
        "allowManaged": permissions.allow_managed,
        "assignedAddresses": config.map_or_else(Vec::new, assigned),
        "bridge": network.bridge,
        "broadcastEnabled": config.is_some_and(|config| config.has_flag(FLAG_BROADCAST)),
        "dhcp": false,
        "dns": dns(config),
        "id": id,
        "mac": network.mac.to_string(),
        "mtu": config.map_or(DEFAULT_MTU, |config| config.mtu),
        "multicastSubscriptions": groups,
        "name": config.map_or("", |config| config.name.as_str()),
        "netconfRevision": config.map_or(0, |config| config.revision),
        "nwid": id,
        "portDeviceName": device,
        "portError": if device_failed { NO_DEVICE } else { 0 },
        "routes": config.map_or_else(Vec::new, |config| config.routes.iter().map(route).collect()),
        "status": network.status.as_str(),
        "type": if config.is_some_and(|config| config.public) { "PUBLIC" } else { "PRIVATE" },
    });
    if let Some(sso) = config
        .and_then(|config| config.sso.as_ref())
        .filter(|sso| sso.enabled)
    {
        let url = network
            .authentication_url
            .as_ref()
            .unwrap_or(&sso.authentication_url);
        value["authenticationURL"] = url.as_str().into();
        value["authenticationExpiryTime"] = sso.authentication_expiry.into();
        value["ssoEnabled"] = true.into();
    }
    value
}

fn assigned(config: &NetworkConfig) -> Vec<Value> {
    config
        .assigned_ips
        .iter()
        .map(|ip| ip.to_string().into())
        .collect()
}

fn dns(config: Option<&NetworkConfig>) -> Value {
    let dns = config.and_then(|config| config.dns.as_ref());
    let servers = dns.map_or(&[][..], |dns| &dns.servers);
    let servers: Vec<String> = servers
        .iter()
        .map(|server| server.ip().to_string())
        .collect();
    json!({"domain": dns.map_or("", |dns| dns.domain.as_str()), "servers": servers})
}

fn route(route: &Route) -> Value {
    json!({
        "flags": route.flags,
        "metric": route.metric,
        "target": route.target.to_string(),
        "via": route.via.map(|via| via.to_string()),
    })
}

/// Permissions after a POST: only JSON booleans count, and nothing that cannot be read.
pub fn changed(permissions: &Permissions, body: &[u8]) -> Permissions {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let flag = |key: &str, old: bool| body.get(key).and_then(Value::as_bool).unwrap_or(old);
    Permissions {
        allow_managed: flag("allowManaged", permissions.allow_managed),
        managed_only: permissions.managed_only.clone(),
        allow_global: flag("allowGlobal", permissions.allow_global),
        allow_default: flag("allowDefault", permissions.allow_default),
        allow_dns: flag("allowDNS", permissions.allow_dns),
    }
}

#[cfg(test)]
mod tests {
    use node::status::NetworkStatusCode;
    use protocol::network_config::Dns;
    use protocol::{Address, MacAddress, MulticastGroup, NetworkId};

    use super::*;

    const ID: NetworkId = NetworkId(0x4b3e_5f84_e842_c20d);

    fn status(config: Option<NetworkConfig>) -> NetworkStatus {
        let member = Address::from_u64(0x5c_d0ba_70f5);
        NetworkStatus {
            network: ID,
            mac: MacAddress::of(member, ID),
            status: match config {
                Some(_) => NetworkStatusCode::Ok,
                None => NetworkStatusCode::RequestingConfiguration,
            },
            config,
            bridge: false,
            groups: vec![MulticastGroup::arp([10, 79, 50, 29].into())],
            frames: node::status::FrameCounts::default(),
            authentication_url: None,
        }
    }

    #[test]
    fn a_configured_network_as_captured() {
        let mut config = NetworkConfig::new(ID, Address::from_u64(0x5c_d0ba_70f5));
        config.name = "lab net".to_owned();
        config.revision = 4;
        config.flags = FLAG_BROADCAST;
        config.assigned_ips = vec!["10.79.50.29/24".parse().unwrap()];
        config.dns = Some(Dns {
            domain: "lab.example".to_owned(),
            servers: vec!["10.79.50.53:0".parse().unwrap()],
        });
        let route = |target: &str, via: Option<&str>| Route {
            target: target.parse().unwrap(),
            via: via.map(|via| via.parse().unwrap()),
            flags: 0,
            metric: 0,
        };
        config.routes = vec![
            route("10.79.50.0/24", None),
            route("10.79.77.0/24", Some("10.79.50.1")),
        ];
        let json = to_json(
            &status(Some(config)),
            &Permissions::default(),
            "ztz7lb2rxf",
            false,
        );
        assert_eq!(
            json.to_string(),
            r#"{"allowDNS":false,"allowDefault":false,"allowGlobal":false,"allowManaged":true,"assignedAddresses":["10.79.50.29/24"],"bridge":false,"broadcastEnabled":true,"dhcp":false,"dns":{"domain":"lab.example","servers":["10.79.50.53"]},"id":"4b3e5f84e842c20d","mac":"0e:9e:92:52:f4:aa","mtu":2800,"multicastSubscriptions":[{"adi":172962333,"mac":"ff:ff:ff:ff:ff:ff"}],"name":"lab net","netconfRevision":4,"nwid":"4b3e5f84e842c20d","portDeviceName":"ztz7lb2rxf","portError":0,"routes":[{"flags":0,"metric":0,"target":"10.79.50.0/24","via":null},{"flags":0,"metric":0,"target":"10.79.77.0/24","via":"10.79.50.1"}],"status":"OK","type":"PRIVATE"}"#
        );
    }

    #[test]
    fn a_network_without_configuration() {
        let json = to_json(&status(None), &Permissions::default(), "", true);
        assert_eq!(json["status"], "REQUESTING_CONFIGURATION");
        assert_eq!(json["portError"], -999);
        assert_eq!(json["mtu"], 2800);
        assert_eq!(json["type"], "PRIVATE");
        assert_eq!(json["dns"], json!({"domain": "", "servers": []}));
    }

    #[test]
    fn only_booleans_change_permissions() {
        let old = Permissions::default();
        let new = changed(
            &old,
            br#"{"allowGlobal":true,"allowManaged":"false","allowDefault":1}"#,
        );
        assert!(new.allow_global && new.allow_managed && !new.allow_default);
        for body in [&b"{bad"[..], b"", b"[]", b"{}", b"null"] {
            assert_eq!(changed(&old, body), old);
        }
    }
}
