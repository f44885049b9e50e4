//! The control brain of a node: no sockets, no clock, no threads
