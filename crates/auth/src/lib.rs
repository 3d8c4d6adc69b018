//! Who may call.

pub mod jwt;
pub mod keys;
mod principal;
pub mod sigv4;

pub use principal::{ALL_AGENTS, Action, Agents, Identity, Principal, Rights};
