//! `agentcore deploy --endpoint URL`: the project's agent on another host.

mod pack;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use agentcore_runtime::SessionSettings;
use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::launch::Args;
use crate::client::{ClientError, HostClient, escape};
use crate::config::agent::AgentEntry;
use crate::config::entrypoint::EntrypointKind;
use crate::config::launchable::{Launchable, lifecycle};
use crate::config::project::Deployed;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::progress::Waiting;
use crate::output::{self, GOOD, STRONG, styled};
use pack::{Pack, Packed};

/// The role of agents whose configuration names none: hosts of this project accept it and use none.
const NO_ROLE: &str = "arn:aws:iam::000000000000:role/agentcore";
/// What code for Python is called when the configuration does not say.
const PYTHON: &str = "PYTHON_3_12";
const REQUIREMENTS: &str = "requirements.txt";

/// Packs, uploads, and creates or updates the agent runtime.
pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let endpoint = context.named_endpoint("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL")?.ok_or_else(|| {
        Failure::new("it is not said where to deploy to").hint(
            "name a host with --endpoint URL, run the agents here with `agentcore launch -l`, or keep them running with \
             `agentcore serve`",
        )
    })?;
    let mut project = context.project()?;
    let (name, entry) = project.agent(args.agent.as_deref())?;
    let launchable = Launchable::of(&project, &name, &entry, args.lifecycle())?;
    let signer = context.signer(entry.region()).await?;
    let client = context.client(endpoint.clone()).signed_by(Some(signer));

    let waiting = Waiting::for_what("packing and uploading the code");
    let (packing, folder) = (launchable.clone(), project.folder().to_owned());
    let (packed, entry_point) = tokio::task::spawn_blocking(move || packed(&packing, &folder)).await??;
    let (files, bytes) = (packed.files, packed.bytes.len());
    let path = format!("/_agentcore/v1/code/{}/{}", escape(&name), packed.sha256);
    let uploaded = client.call(Method::PUT, &path, packed.bytes).await?;
    let request = request(args, &entry, &launchable, artifact(&entry, &launchable, &uploaded, &entry_point))?;
    let registered = register(&client, &name, request).await?;
    drop(waiting);

    let text = |field: &str| registered[field].as_str().unwrap_or_default().to_owned();
    let (arn, version) = (text("agentRuntimeArn"), text("agentRuntimeVersion"));
    let deployed =
        Deployed { id: text("agentRuntimeId"), arn: arn.clone(), endpoint: endpoint.as_str().to_owned() };
    project.set_deployed(&name, &deployed)?;
    output::line(&arn)?;
    output::note(format_args!(
        "{} {} as version {version} ({files} files, {bytes} bytes)",
        styled(GOOD, "Deployed"),
        styled(STRONG, &name)
    ));
    output::note("Try: agentcore invoke '{\"prompt\": \"hello\"}'");
    Ok(ExitCode::SUCCESS)
}

/// The archive, and the path in it of what is to run.
fn packed(agent: &Launchable, project: &Path) -> anyhow::Result<(Packed, String)> {
    let mut pack = Pack::new();
    let file = agent.built()?;
    if agent.entrypoint.kind != EntrypointKind::Python {
        let name = file.file_name().context("the program has no name")?;
        pack.add_file(&file, Path::new(name))?;
        return Ok((pack.finish()?, name.to_string_lossy().into_owned()));
    }
    let inside = file.strip_prefix(&agent.code).map_err(|_| {
        Failure::new(format!("{} is not in {}", file.display(), agent.code.display()))
            .hint("set source_path to the folder that has the entrypoint in it")
    })?;
    pack.add_code(&agent.code)?;
    if let Some(requirements) = requirements(&agent.code, project) {
        add_requirements(&mut pack, agent, inside, &requirements)?;
    }
    Ok((pack.finish()?, inside.to_string_lossy().into_owned()))
}

/// The requirements.txt of code: the one in its folder, else the next one above it in the project.
fn requirements(code: &Path, project: &Path) -> Option<PathBuf> {
    let above = code.ancestors().skip(1).take_while(|folder| folder.starts_with(project));
    std::iter::once(code).chain(above).map(|folder| folder.join(REQUIREMENTS)).find(|file| file.is_file())
}

/// Installs what requirements.txt names beside the code, where Python looks for it first.
fn add_requirements(
    pack: &mut Pack,
    agent: &Launchable,
    entrypoint: &Path,
    requirements: &Path,
) -> anyhow::Result<()> {
    if entrypoint.components().count() > 1 {
        let message = format!(
            "{REQUIREMENTS} is installed beside the entrypoint, and {} is not beside it",
            entrypoint.display()
        );
        return Err(Failure::new(message)
            .hint("move the entrypoint to the top of the code, or set source_path to its folder")
            .into());
    }
    let packages = tempfile::tempdir()?;
    let python = agent.interpreter.as_deref().context("there is no interpreter")?;
    let installed = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--target"])
        .arg(packages.path())
        .arg("-r")
        .arg(requirements)
        // Paths in it are of its folder, from wherever the command is called.
        .current_dir(requirements.parent().unwrap_or(&agent.code))
        .output()
        .with_context(|| format!("cannot run {}", python.display()))?;
    if !installed.status.success() {
        let said = String::from_utf8_lossy(&installed.stderr);
        let message = format!("pip cannot install what {REQUIREMENTS} names: {}", said.trim());
        return Err(Failure::new(message)
            .hint(format!("try it: {} -m pip install -r {}", python.display(), requirements.display()))
            .into());
    }
    Ok(pack.add_packages(packages.path())?)
}

fn artifact(entry: &AgentEntry, agent: &Launchable, uploaded: &Value, entry_point: &str) -> Value {
    if agent.entrypoint.kind != EntrypointKind::Python {
        let folder = uploaded["folder"].as_str().unwrap_or_default();
        return json!({"containerConfiguration": {"containerUri": format!("file://{folder}/{entry_point}")}});
    }
    json!({"codeConfiguration": {
        "code": {"s3": {"bucket": uploaded["bucket"], "prefix": uploaded["prefix"]}},
        "runtime": entry.runtime_type.as_deref().unwrap_or(PYTHON),
        "entryPoint": [entry_point],
    }})
}

fn request(args: &Args, entry: &AgentEntry, agent: &Launchable, artifact: Value) -> anyhow::Result<Value> {
    let environment: serde_json::Map<String, Value> =
        args.env.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut request = json!({
        "agentRuntimeName": agent.name,
        "agentRuntimeArtifact": artifact,
        "roleArn": entry.execution_role().unwrap_or(NO_ROLE),
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "protocolConfiguration": {"serverProtocol": entry.protocol()},
        "lifecycleConfiguration": serde_json::to_value(lifecycle(entry, args.lifecycle()))?,
        "environmentVariables": environment,
    });
    let session = SessionSettings { network: agent.network, limits: agent.limits };
    request[SessionSettings::MEMBER] = serde_json::to_value(session)?;
    for (field, value) in [
        ("authorizerConfiguration", &entry.authorizer_configuration),
        ("requestHeaderConfiguration", &entry.request_header_configuration),
    ] {
        if let Some(value) = value {
            request[field] = value.clone();
        }
    }
    Ok(request)
}

/// Creates the runtime, or makes this its next version.
async fn register(client: &HostClient, name: &str, mut request: Value) -> anyhow::Result<Value> {
    match client.call(Method::PUT, "/runtimes/", request.to_string().into_bytes()).await {
        Err(ClientError::Refused { status: StatusCode::CONFLICT, .. }) => {
            if let Some(members) = request.as_object_mut() {
                members.remove("agentRuntimeName");
            }
            let path = format!("/runtimes/{}/", escape(name));
            Ok(client.call(Method::PUT, &path, request.to_string().into_bytes()).await?)
        }
        created => Ok(created?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_those_of_the_code_or_of_the_project_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("project");
        let code = project.join("src/app");
        std::fs::create_dir_all(&code).unwrap();
        let write = |folder: &Path| {
            let file = folder.join(REQUIREMENTS);
            std::fs::write(&file, "").unwrap();
            Some(file)
        };
        write(folder.path());
        assert_eq!(requirements(&code, &project), None, "what is outside of the project is not its own");
        assert_eq!(requirements(folder.path(), &project), Some(folder.path().join(REQUIREMENTS)));
        let around = write(&project);
        assert_eq!(requirements(&code, &project), around);
        let own = write(&code);
        assert_eq!(requirements(&code, &project), own);
    }
}
