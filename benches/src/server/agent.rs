//! The agents that are measured, as authors would write them.

use bedrock_agentcore::App;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer_to;

#[derive(Deserialize)]
struct Request {
    prompt: String,
}

#[derive(Serialize)]
struct Reply {
    message: String,
}

/// The usual way: what is taken and what is given have types.
async fn handler(request: Request) -> Reply {
    Reply { message: request.prompt }
}

/// The way for payloads of any shape: everything is parsed, whether it is used or not.
async fn untyped_handler(event: Value) -> Value {
    answer_to(event)
}

/// The body of the hidden command.
pub(crate) fn serve(port: u16, untyped: bool) -> anyhow::Result<()> {
    let app = App::new().port(port);
    Ok(if untyped { app.entrypoint(untyped_handler).run() } else { app.entrypoint(handler).run() }?)
}
