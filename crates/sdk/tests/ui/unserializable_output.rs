use bedrock_agentcore::async_task;

struct Opaque;

#[async_task]
async fn work() -> Opaque {
    Opaque
}

fn main() {}
