//! Benchmarks: ratios taken in one run against a peer
