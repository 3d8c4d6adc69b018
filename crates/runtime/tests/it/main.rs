//! The host through its real router, its real sockets and a real store.

#![allow(clippy::unwrap_used, reason = "what goes wrong in a test shall fail it")]

mod support;
mod tasks;

mod access;
mod api;
mod audit;
mod aws;
mod callers;
mod durable;
mod failures;
mod hostile;
mod lanes;
mod lifetimes;
mod limits;
mod requirements;
mod restarts;
mod sessions;
mod sockets;
mod streams;
mod tls;
mod uploads;
mod visitors;
