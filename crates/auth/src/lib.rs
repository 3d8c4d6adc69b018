//! Who may call.

pub mod sigv4;
