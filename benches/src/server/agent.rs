//! The agent that is measured, as an author would write it.

use bedrock_agentcore::App;
use serde_json::Value;

use super::answer_to;

async fn handler(event: Value) -> Value {
    answer_to(event)
}

/// The body of the hidden command.
pub(crate) fn serve(port: u16) -> anyhow::Result<()> {
    Ok(App::new().port(port).entrypoint(handler).run()?)
}
