//! Tests of the crate from outside.

mod botocore;
mod oracle;
mod support;
mod vectors;
