//! The operator tool as a library.

pub mod lab;
