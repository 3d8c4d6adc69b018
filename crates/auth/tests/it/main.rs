//! Tests of the crate from outside.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what goes wrong in a test shall fail it")]

mod botocore;
mod fuzz;
mod gate;
mod issuer;
mod jwt;
mod oracle;
mod provider;
mod speed;
mod support;
mod vectors;
