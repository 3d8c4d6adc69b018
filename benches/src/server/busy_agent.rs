//! An agent whose handlers take all the threads that there are for them.

use std::hint::black_box;
use std::io::Write;

use bedrock_agentcore::{App, CancellationToken};
use serde_json::Value;
use tokio::runtime::Handle;

/// What a handler does until its caller leaves.
pub(crate) const SLEEP: &str = "\"sleep\"";
/// As above.
pub(crate) const COMPUTE: &str = "\"compute\"";

fn be_busy(how: Value, caller_left: CancellationToken) {
    // Whoever measures waits until this many lines are there.
    let _ = writeln!(std::io::stdout().lock(), "busy");
    if how == "compute" {
        while !caller_left.is_cancelled() {
            black_box((0..100_000_u64).fold(0, |sum, n| black_box(sum ^ n)));
        }
    } else {
        Handle::current().block_on(caller_left.cancelled());
    }
}

/// The body of the hidden command.
pub(crate) fn serve(port: u16) -> anyhow::Result<()> {
    Ok(App::new().port(port).entrypoint_blocking(be_busy).run()?)
}
