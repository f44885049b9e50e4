//! Embedded network controller: records, authorisation, address pools, signed configurations.
//!
//! [`Controller`] is a pure state machine: requests of members and calls of the HTTP interface go in, [`Effect`](protocol::controller::Effect)s come
//! out. It opens no sockets and asks no clock; records are kept by a [`store::Store`]. What it does follows the service
//! specification, section F, so that existing clients and existing members notice no difference to 1.14.1.

pub mod controller;
pub mod error;
pub mod http;
pub mod metrics;
pub mod store;

mod assign;
mod issue;
mod lenient;
mod member;
mod network;
mod rule_json;

pub use controller::Controller;
pub use error::{ControllerError, StoreError};
pub use http::ApiReply;
pub use metrics::Metrics;
