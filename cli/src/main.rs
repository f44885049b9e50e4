//! hawser.
fn main() {}
