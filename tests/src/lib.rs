//! End-to-end, simulation, vector and interoperability tests
