//! Joined networks and what the operator allows them (service specification A.7, A.8).

use anyhow::{Result, bail};
use protocol::dictionary::Dictionary;
use protocol::network_config::NetworkConfig;
use protocol::{IpPrefix, NetworkId};

use super::{Home, hex_name};

const NETWORKS: &str = "networks.d";
/// Content of a joined network's file before its first configuration.
const PLACEHOLDER: &[u8] = b"\n";
/// An `allowManaged` longer than this is a list of prefixes.
const LONGEST_BOOLEAN: usize = 5;

/// What a network may change on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permissions {
    /// Addresses and routes at all.
    pub allow_managed: bool,
    /// Where not empty: only inside one of these.
    pub managed_only: Vec<IpPrefix>,
    /// Addresses and routes of global scope.
    pub allow_global: bool,
    /// A default route.
    pub allow_default: bool,
    /// Name service.
    pub allow_dns: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            allow_managed: true,
            managed_only: Vec::new(),
            allow_global: false,
            allow_default: false,
            allow_dns: false,
        }
    }
}

impl Permissions {
    /// Reads the file form.
    pub fn parse(content: &[u8]) -> Self {
        let dictionary = Dictionary::decode(content);
        let flag = |key, default| dictionary.get_bool(key).unwrap_or(default);
        let managed = dictionary.get_text("allowManaged").unwrap_or_default();
        let managed_only: Vec<IpPrefix> = if managed.len() > LONGEST_BOOLEAN {
            let entries = managed.split(',').map(str::trim);
            entries.filter_map(|entry| entry.parse().ok()).collect()
        } else {
            Vec::new()
        };
        Self {
            allow_managed: !managed_only.is_empty() || flag("allowManaged", true),
            managed_only,
            allow_global: flag("allowGlobal", false),
            allow_default: flag("allowDefault", false),
            allow_dns: flag("allowDNS", false),
        }
    }

    /// The file form.
    pub fn to_file(&self) -> String {
        let flag = |value: bool| if value { "1" } else { "0" };
        let prefixes: Vec<String> = self.managed_only.iter().map(ToString::to_string).collect();
        let managed = if self.allow_managed && !prefixes.is_empty() {
            prefixes.join(",")
        } else {
            flag(self.allow_managed).to_owned()
        };
        format!(
            "allowManaged={managed}\nallowGlobal={}\nallowDefault={}\nallowDNS={}\n",
            flag(self.allow_global),
            flag(self.allow_default),
            flag(self.allow_dns)
        )
    }
}

/// A network that was joined when the daemon last ran, or that somebody asked for by creating its file.
#[derive(Clone, PartialEq, Debug)]
pub struct SavedNetwork {
    /// Which.
    pub id: NetworkId,
    /// Its last configuration, if it ever had one.
    pub cached: Option<Box<NetworkConfig>>,
    /// The operator's permissions.
    pub permissions: Permissions,
}

pub(super) fn config_file(id: NetworkId) -> String {
    format!("{NETWORKS}/{id}.conf")
}

fn permissions_file(id: NetworkId) -> String {
    format!("{NETWORKS}/{id}.local.conf")
}

impl Home {
    /// Networks to join at start.
    pub fn saved_networks(&self) -> Result<Vec<SavedNetwork>> {
        let mut networks = Vec::new();
        for name in self.list(NETWORKS)? {
            let Some(id) = hex_name(&name, 16, ".conf").map(NetworkId) else {
                continue;
            };
            networks.push(SavedNetwork {
                id,
                cached: self.cached_config(id)?,
                permissions: self.permissions(id)?,
            });
        }
        Ok(networks)
    }

    /// The last known configuration of a network.
    pub fn cached_config(&self, id: NetworkId) -> Result<Option<Box<NetworkConfig>>> {
        let name = config_file(id);
        let content = self.read(&name)?.unwrap_or_default();
        if content.trim_ascii().is_empty() {
            return Ok(None);
        }
        let path = self.path(&name);
        match NetworkConfig::from_dictionary(&Dictionary::decode(&content)) {
            Ok(config) if config.network == id => Ok(Some(Box::new(config))),
            Ok(config) => bail!(
                "{}: invalid network configuration: it is for network {}",
                path.display(),
                config.network
            ),
            Err(error) => bail!("{}: invalid network configuration: {error}", path.display()),
        }
    }

    /// The operator's permissions for a network.
    pub fn permissions(&self, id: NetworkId) -> Result<Permissions> {
        let content = self.read(&permissions_file(id))?.unwrap_or_default();
        Ok(Permissions::parse(&content))
    }

    /// Remembers that a network is joined.
    pub fn remember_network(&self, id: NetworkId) -> Result<()> {
        let name = config_file(id);
        match self.read(&name)? {
            Some(_) => Ok(()),
            None => self.write(&name, PLACEHOLDER),
        }
    }

    /// Remembers the operator's permissions.
    pub fn save_permissions(&self, id: NetworkId, permissions: &Permissions) -> Result<()> {
        self.write(&permissions_file(id), permissions.to_file().as_bytes())
    }

    /// Forgets a network.
    pub fn forget_network(&self, id: NetworkId) -> Result<()> {
        self.remove(&config_file(id))?;
        self.remove(&permissions_file(id))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::TemporaryDirectory;
    use super::*;

    const ID: NetworkId = NetworkId(0x4b3e_5f84_e842_c20d);

    fn setup() -> (TemporaryDirectory, Home) {
        let directory = TemporaryDirectory::new();
        let home = Home::open(&directory.0).unwrap();
        (directory, home)
    }

    #[test]
    fn empty_files_and_single_newlines_join() {
        let (_directory, home) = setup();
        home.write("networks.d/0000000000000001.conf", b"").unwrap();
        home.write("networks.d/0000000000000002.conf", b"\n")
            .unwrap();
        home.write("networks.d/0000000000000003.conf.bak", b"")
            .unwrap();
        home.write("networks.d/123.conf", b"").unwrap();
        home.write("networks.d/0000000000000004.local.conf", b"")
            .unwrap();
        let saved = home.saved_networks().unwrap();
        let ids: Vec<u64> = saved.iter().map(|network| network.id.0).collect();
        assert_eq!(ids, [1, 2]);
        assert!(saved.iter().all(|network| network.cached.is_none()));
    }

    #[test]
    fn a_corrupt_configuration_is_named_and_left_alone() {
        let (_directory, home) = setup();
        let name = "networks.d/4b3e5f84e842c20d.conf";
        home.write(name, b"some junk").unwrap();
        let error = format!("{:#}", home.saved_networks().unwrap_err());
        assert!(
            error.contains("4b3e5f84e842c20d.conf: invalid network configuration"),
            "{error}"
        );
        assert_eq!(fs::read(home.path(name)).unwrap(), b"some junk");
    }

    #[test]
    fn joining_and_leaving_leave_the_expected_files() {
        let (_directory, home) = setup();
        home.remember_network(ID).unwrap();
        home.save_permissions(ID, &Permissions::default()).unwrap();
        let file = |name: &str| fs::read_to_string(home.path(name)).unwrap();
        assert_eq!(file("networks.d/4b3e5f84e842c20d.conf"), "\n");
        assert_eq!(
            file("networks.d/4b3e5f84e842c20d.local.conf"),
            "allowManaged=1\nallowGlobal=0\nallowDefault=0\nallowDNS=0\n"
        );
        home.forget_network(ID).unwrap();
        assert_eq!(home.list("networks.d").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_list_of_managed_prefixes_survives_a_rewrite() {
        let text =
            "allowManaged=10.79.50.0/24,fc00::/7\nallowGlobal=true\nallowDefault=T\nallowDNS=no\n";
        let permissions = Permissions::parse(text.as_bytes());
        assert!(permissions.allow_managed && permissions.allow_global && permissions.allow_default);
        assert!(!permissions.allow_dns);
        assert_eq!(permissions.managed_only.len(), 2);
        assert_eq!(
            Permissions::parse(permissions.to_file().as_bytes()),
            permissions
        );
        assert!(!Permissions::parse(b"allowManaged=0\n").allow_managed);
        assert!(!Permissions::parse(b"allowManaged=false\n").allow_managed);
        assert_eq!(Permissions::parse(b""), Permissions::default());
    }
}
