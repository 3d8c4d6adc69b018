//! The contract that every kind of sandbox keeps, and what the process kind does beyond it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests, what they share too")]

mod bench;
mod contract;
mod escape;
mod lab;
mod process;
