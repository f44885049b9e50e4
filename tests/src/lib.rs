//! What the end-to-end tests share: a runner that gives every scenario a sandbox of its own.

pub mod assertions;
pub mod bond_bench;
pub mod bond_mistakes;
pub mod runner;
