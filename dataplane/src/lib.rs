//! Threads and system calls that move frames between TAP and UDP
