//! The operator tool as a library.
