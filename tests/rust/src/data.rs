//! The data plane: invoke, run a command, stop.

use anyhow::Context as _;
use aws_sdk_bedrockagentcore::Client;
use aws_sdk_bedrockagentcore::operation::RequestId as _;
use aws_sdk_bedrockagentcore::operation::invoke_agent_runtime::InvokeAgentRuntimeError;
use aws_sdk_bedrockagentcore::primitives::Blob;
use aws_sdk_bedrockagentcore::types::InvokeAgentRuntimeCommandRequestBody;
use serde_json::{Value, json};

const TEN_MEGABYTES: usize = 10_000_000;

/// A session, and the client that calls it.
pub struct Session {
    pub client: Client,
    pub arn: String,
    pub id: String,
}

impl Session {
    /// An answer as JSON, a session that nobody named, and a stream.
    pub async fn answers(&self) -> anyhow::Result<Value> {
        let unnamed = self.client.invoke_agent_runtime().agent_runtime_arn(&self.arn);
        let unnamed = unnamed.payload(Blob::new("{}")).send().await?;
        let made_up = unnamed.runtime_session_id().context("it has a session")?.to_owned();
        let answered: Value = serde_json::from_slice(&unnamed.response.collect().await?.into_bytes())?;
        let stream = self.invoke(&self.client, json!({"do": "stream", "items": 2})).await?;
        Ok(json!({
            "json": serde_json::from_slice::<Value>(&self.invoke(&self.client, json!({})).await?)?["session"],
            "made up": answered["session"] == made_up,
            "stream": String::from_utf8(stream)?,
        }))
    }

    /// How many bytes an agent got, and how many came from it.
    pub async fn much_both_ways(&self) -> anyhow::Result<Value> {
        let text = "x".repeat(TEN_MEGABYTES);
        let sent = self.invoke(&self.client, json!({"do": "length", "text": text})).await?;
        let received = self.invoke(&self.client, json!({"do": "big", "bytes": TEN_MEGABYTES})).await?;
        let received: String = serde_json::from_slice(&received)?;
        Ok(json!({"sent": serde_json::from_slice::<Value>(&sent)?["length"], "received": received.len()}))
    }

    /// Errors by their type.
    pub async fn failures(&self) -> Value {
        let failure = |answer: Result<Vec<u8>, InvokeAgentRuntimeError>| answer.expect_err("it fails");
        let fails = failure(self.invoke(&self.client, json!({"do": "fail"})).await);
        let why = match &fails {
            InvokeAgentRuntimeError::RuntimeClientError(error) => error.message().unwrap_or_default(),
            _ => "",
        };
        let elsewhere = |arn: &str, id: String| Self { client: self.client.clone(), arn: arn.to_owned(), id };
        let nobody = elsewhere("nobody", self.id.clone()).invoke(&self.client, json!({})).await;
        let blank = elsewhere(&self.arn, "no blanks".repeat(5)).invoke(&self.client, json!({})).await;
        json!({
            "of the agent, with its words": why.contains("no good"),
            "has a request id": fails.request_id().is_some(),
            "unknown": failure(nobody).is_resource_not_found_exception(),
            "invalid": failure(blank).is_validation_exception(),
        })
    }

    /// A command, and its events.
    pub async fn command(&self) -> anyhow::Result<Value> {
        let body = InvokeAgentRuntimeCommandRequestBody::builder().command("echo hello; exit 3").build()?;
        let command = self.client.invoke_agent_runtime_command().agent_runtime_arn(&self.arn);
        let mut running = command.runtime_session_id(&self.id).body(body).send().await?;
        let mut seen = Vec::new();
        while let Some(event) = running.stream.recv().await? {
            let chunk = event.as_chunk().ok().context("an event is a chunk")?;
            seen.extend(chunk.content_start().map(|_| json!("start")));
            seen.extend(chunk.content_delta().map(|delta| json!(delta.stdout())));
            seen.extend(chunk.content_stop().map(|stop| json!([stop.exit_code(), stop.status().as_str()])));
        }
        Ok(json!(seen))
    }

    /// How often an agent ran that takes longer than its client waits, and what the client got.
    pub async fn retried(&self, impatient: Client) -> anyhow::Result<Value> {
        let slow = json!({"do": "sleep", "seconds": 5, "run": "slow"});
        let answered: Value = serde_json::from_slice(&self.invoke(&impatient, slow).await?)?;
        let runs = self.invoke(&self.client, json!({"do": "runs", "of": "slow"})).await?;
        Ok(json!([answered["session"], serde_json::from_slice::<Value>(&runs)?["runs"]]))
    }

    /// Stops the session; then it is not found.
    pub async fn stop(&self) -> anyhow::Result<Value> {
        let stop = || {
            let request = self.client.stop_runtime_session().agent_runtime_arn(&self.arn);
            request.runtime_session_id(&self.id).send()
        };
        let stopped = stop().await?;
        let again = stop().await.expect_err("it is stopped").into_service_error();
        Ok(json!([stopped.status_code(), again.is_resource_not_found_exception()]))
    }

    async fn invoke(&self, client: &Client, payload: Value) -> Result<Vec<u8>, InvokeAgentRuntimeError> {
        let request = client.invoke_agent_runtime().agent_runtime_arn(&self.arn);
        let request = request.runtime_session_id(&self.id).payload(Blob::new(payload.to_string()));
        let answer = request.send().await.map_err(|error| error.into_service_error())?;
        let body = answer.response.collect().await.map_err(InvokeAgentRuntimeError::unhandled)?;
        Ok(body.into_bytes().to_vec())
    }
}
