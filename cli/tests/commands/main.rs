//! The real program against a service that answers from a table (service specification D).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bonds;
mod hawser;
mod lab;
mod reference;
mod scripts;
