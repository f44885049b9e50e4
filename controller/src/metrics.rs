//! Numbers behind the `controller_*` families of metrics (service specification G).

/// A snapshot of the controller's numbers. Families of 1.14.1 that are missing here are constant: the request queue is
/// always empty, no request threads exist, and there is no single sign-on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    /// Gauge `controller_network_count`.
    pub network_count: u64,
    /// Gauge `controller_member_count`.
    pub member_count: u64,
    /// Counter `controller_network_change_count`.
    pub network_change_count: u64,
    /// Counter `controller_member_change_count`.
    pub member_change_count: u64,
    /// Counter `controller_member_auth_count`: counts every save of an authorised member, as 1.14.1 does.
    pub member_auth_count: u64,
    /// Counter `controller_member_deauth_count`.
    pub member_deauth_count: u64,
    /// Counter `controller_network_config_request`.
    pub network_config_request: u64,
    /// Counter `controller_db_get_network`.
    pub db_get_network: u64,
    /// Counter `controller_db_get_network_and_member`.
    pub db_get_network_and_member: u64,
    /// Counter `controller_db_get_networK_and_member_summary`.
    pub db_get_network_and_member_summary: u64,
    /// Counter `controller_db_get_member_list`.
    pub db_get_member_list: u64,
    /// Counter `controller_db_get_network_list`.
    pub db_get_network_list: u64,
    /// Counter `controller_db_member_change`.
    pub db_member_change: u64,
    /// Counter `controller_db_network_change`.
    pub db_network_change: u64,
}
