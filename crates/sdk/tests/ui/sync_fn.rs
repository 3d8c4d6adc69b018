use bedrock_agentcore::async_task;

#[async_task]
fn blocks() -> u8 {
    1
}

fn main() {}
