//! Which path carries what: plans, flows and path qualities, pure
