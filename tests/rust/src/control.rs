//! The control plane: runtimes, versions, endpoints.

use anyhow::Context as _;
use aws_sdk_bedrockagentcorecontrol::Client;
use aws_sdk_bedrockagentcorecontrol::types::{
    AgentManagedRuntimeType, AgentRuntimeArtifact, Code, CodeConfiguration, NetworkConfiguration,
    NetworkMode, S3Location,
};
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::123456789012:role/agent";
const NAME: &str = "rust";

/// Creates the runtime of the tour: its ARN, its id, and what was said of it.
pub async fn create(client: &Client) -> anyhow::Result<(String, String, Value)> {
    let create = || {
        let request = client.create_agent_runtime().agent_runtime_name(NAME).role_arn(ROLE);
        request.agent_runtime_artifact(artifact("main.py")).network_configuration(network())
    };
    let created = create().environment_variables("MODE", "first").send().await?;
    let again = create().send().await.expect_err("the name is taken").into_service_error();
    let wrong = create().agent_runtime_artifact(artifact("none.py")).agent_runtime_name("never").send().await;
    let wrong = wrong.expect_err("there is no such file").into_service_error();
    let said = json!({
        "status": created.status().as_str(),
        "version": created.agent_runtime_version(),
        "again is a conflict": again.is_conflict_exception(),
        "what cannot be run is invalid": wrong.is_validation_exception(),
    });
    Ok((created.agent_runtime_arn, created.agent_runtime_id, said))
}

/// Updates it, and reads what there is of it.
pub async fn look_around(client: &Client, id: &str) -> anyhow::Result<Value> {
    let update = client.update_agent_runtime().agent_runtime_id(id).role_arn(ROLE);
    let update = update.agent_runtime_artifact(artifact("main.py")).network_configuration(network());
    let updated = update.environment_variables("MODE", "second").send().await?;
    let endpoint = client.create_agent_runtime_endpoint().agent_runtime_id(id).name("prod");
    endpoint.agent_runtime_version("1").send().await?;

    let shown = client.get_agent_runtime().agent_runtime_id(id).send().await?;
    let artifact = shown.agent_runtime_artifact().and_then(|artifact| artifact.as_code_configuration().ok());
    let endpoints = client.list_agent_runtime_endpoints().agent_runtime_id(id).max_results(1);
    let endpoints: Vec<_> = endpoints.into_paginator().items().send().collect::<Result<_, _>>().await?;
    let versions = client.list_agent_runtime_versions().agent_runtime_id(id).max_results(1);
    let versions: Vec<_> = versions.into_paginator().items().send().collect::<Result<_, _>>().await?;
    let mut pages = client.list_agent_runtimes().into_paginator().page_size(1).send();
    let (mut names, mut most) = (Vec::new(), 0);
    while let Some(page) = pages.try_next().await? {
        most = most.max(page.agent_runtimes.len());
        names.extend(page.agent_runtimes.into_iter().map(|runtime| runtime.agent_runtime_name));
    }
    Ok(json!({
        "updated": updated.agent_runtime_version(),
        "entry point": artifact.context("it has code")?.entry_point(),
        "mode": shown.environment_variables().context("it has variables")?.get("MODE"),
        "endpoints": endpoints.iter().map(|endpoint| (endpoint.name(), endpoint.live_version())).collect::<Vec<_>>(),
        "versions": versions.iter().map(|version| version.agent_runtime_version()).collect::<Vec<_>>(),
        "at most on a page": most,
        "is listed": names.iter().any(|name| name == NAME),
    }))
}

/// Deletes it; then it is not found.
pub async fn delete(client: &Client, id: &str) -> anyhow::Result<Value> {
    let deleted = client.delete_agent_runtime().agent_runtime_id(id).send().await?;
    let gone = client.get_agent_runtime().agent_runtime_id(id).send().await;
    let gone = gone.expect_err("it is deleted").into_service_error();
    Ok(json!({"status": deleted.status().as_str(), "is gone": gone.is_resource_not_found_exception()}))
}

fn artifact(file: &str) -> AgentRuntimeArtifact {
    let location = S3Location::builder().bucket("local").prefix("writer/").build();
    let code = CodeConfiguration::builder()
        .code(Code::S3(location.expect("it is complete")))
        .runtime(AgentManagedRuntimeType::Python312)
        .entry_point(file);
    AgentRuntimeArtifact::CodeConfiguration(code.build().expect("it is complete"))
}

fn network() -> NetworkConfiguration {
    let network = NetworkConfiguration::builder().network_mode(NetworkMode::Public);
    network.build().expect("it is complete")
}
