//! The contract that every kind of sandbox keeps, and what the process kind does beyond it.

#![allow(clippy::unwrap_used, reason = "these are tests, the helpers too")]

mod bench;
mod contract;
