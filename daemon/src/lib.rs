//! hawserd as a library: what the binary runs.
