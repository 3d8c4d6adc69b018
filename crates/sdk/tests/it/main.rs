//! The SDK as its users meet it: through the real service, over real sockets, as a real process.
//!
//! Nothing in here sleeps: time is paused, or the tests wait for what they wait for.

// Clippy allows it in test functions only, and everything in here is for tests.
#![allow(clippy::unwrap_used)]

mod contract;
mod debug_actions;
mod disconnects;
mod encodings;
mod extractors;
mod handlers;
mod history;
mod journal;
mod nested;
mod ping;
mod process;
mod serving;
mod streams;
mod support;
mod task_attribute;
mod tasks;
mod ui;
mod websocket;
mod wire;
