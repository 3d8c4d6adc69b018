//! The real binary, with real hosts, agents and processes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests, and what an agent prints is its log"
)]

mod account;
mod attacks;
mod credentials;
mod deploying;
mod escape;
mod invoking;
mod later;
mod launching;
mod misbehaving;
mod packages;
mod recovery;
mod seed;
mod serving;
mod signing;
mod support;
mod walls;
mod without_a_host;
