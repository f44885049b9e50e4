//! The packet ciphers of V1 and the primitives below them (protocol specification 1.2, 2.4 to 2.6).
