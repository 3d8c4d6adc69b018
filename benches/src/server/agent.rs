//! The agent that is measured, as an author would write it.

use bedrock_agentcore::App;
use serde_json::Value;

async fn echo(event: Value) -> Value {
    event
}

/// The body of the hidden command.
pub(crate) fn serve(port: u16) -> anyhow::Result<()> {
    Ok(App::new().port(port).entrypoint(echo).run()?)
}
