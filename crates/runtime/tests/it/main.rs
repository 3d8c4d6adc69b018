//! The host through its real router, its real sockets and a real store.

mod support;

mod access;
mod api;
mod failures;
mod lifetimes;
mod limits;
mod restarts;
mod sessions;
mod sockets;
mod streams;
