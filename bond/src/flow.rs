//! Flow identification.
