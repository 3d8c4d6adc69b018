//! Tests of the crate from outside.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what goes wrong in a test shall fail it")]

mod botocore;
mod issuer;
mod jwt;
mod oracle;
mod support;
mod vectors;
