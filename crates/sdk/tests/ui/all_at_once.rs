use bedrock_agentcore::async_task;

#[async_task(title = "a name")]
fn blocks() {}

fn main() {}
