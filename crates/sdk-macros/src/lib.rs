//! The `#[async_task]` attribute of `bedrock-agentcore`.
