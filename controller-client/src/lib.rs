//! Asking a controller for a configuration, and a client of its HTTP interface
