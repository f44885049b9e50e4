//! Embedded network controller: records, authorisation, address pools, signed configurations
