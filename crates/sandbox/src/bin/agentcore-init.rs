//! The init of a process sandbox as a program of its own, for tests and for hosts that do not
//! re-execute themselves.

use std::process::ExitCode;

fn main() -> ExitCode {
    agentcore_sandbox::init::run(std::env::args_os().skip(1))
}
