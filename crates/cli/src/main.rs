//! The `agentcore` command.

fn main() {}
