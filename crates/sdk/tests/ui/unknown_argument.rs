use bedrock_agentcore::async_task;

#[async_task(title = "a name")]
async fn work() {}

fn main() {}
