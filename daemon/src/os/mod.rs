//! What the operating system has and shall have: sockets' addresses, devices, addresses, routes.

pub mod device_name;
pub mod interfaces;
pub mod links;
pub mod managed;
pub mod multicast;
pub mod ports;
pub mod reachability;
pub mod routes;
