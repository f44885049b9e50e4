//! hawserd.
fn main() {}
