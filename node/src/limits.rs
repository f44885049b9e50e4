//! Every bound in one place, with its reason.
