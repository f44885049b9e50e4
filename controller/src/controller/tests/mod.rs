//! The controller as the node and the API see it.

mod configuration;
mod lab;
mod members;
mod revocation;
mod saving;
