//! An agent that was deployed, and how AWS's API reaches it: on another host, or on AWS.

use crate::client::{ClientError, Endpoint, HostClient, escape};
use crate::config::project::Project;
use crate::context::Context;
use crate::failure::Failure;

/// A deployed agent.
#[derive(Debug)]
pub(crate) struct Remote {
    /// Its name in the project.
    pub(crate) name: String,
    /// What names it where it is.
    pub(crate) arn: String,
    /// The host that it was deployed to, if that is not AWS.
    endpoint: Option<String>,
}

/// The parts of AWS's API, which have endpoints of their own.
#[derive(Debug, Clone, Copy)]
enum Plane {
    Data,
    Control,
}

impl Plane {
    /// The variable of AWS's tools that names its endpoint.
    fn variable(self) -> &'static str {
        match self {
            Self::Data => "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE",
            Self::Control => "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL",
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Data => "bedrock-agentcore",
            Self::Control => "bedrock-agentcore-control",
        }
    }
}

impl Remote {
    /// The agent, if it is deployed.
    pub(crate) fn of(project: &Project, agent: Option<&str>) -> Option<Self> {
        let (name, entry) = project.agent(agent).ok()?;
        let arn = entry.arn()?.to_owned();
        Some(Self { name, arn, endpoint: entry.endpoint().map(str::to_owned) })
    }

    /// A client of the agent itself. Signed with the credentials of whoever calls, unless they bring a token.
    pub(crate) async fn agents(&self, context: &Context, has_token: bool) -> anyhow::Result<HostClient> {
        let signer = if has_token { None } else { Some(context.signer(Some(self.region()?)).await?) };
        Ok(context.client(self.endpoint(Plane::Data, context)?).signed_by(signer))
    }

    /// A client of what looks after runtimes, signed with the credentials of whoever calls.
    pub(crate) async fn runtimes(&self, context: &Context) -> anyhow::Result<HostClient> {
        let signer = context.signer(Some(self.region()?)).await?;
        Ok(context.client(self.endpoint(Plane::Control, context)?).signed_by(Some(signer)))
    }

    /// Where its runtime is looked after.
    pub(crate) fn runtimes_endpoint(&self, context: &Context) -> anyhow::Result<Endpoint> {
        self.endpoint(Plane::Control, context)
    }

    /// The path of an operation of the agent itself.
    pub(crate) fn path(&self, operation: &str) -> String {
        format!("/runtimes/{}/{operation}", escape(&self.arn))
    }

    /// The path of its runtime.
    pub(crate) fn runtime_path(&self) -> String {
        let id = self.arn.rsplit('/').next().unwrap_or(&self.arn);
        format!("/runtimes/{}/", escape(id))
    }

    /// What was named, else where it was deployed.
    fn endpoint(&self, plane: Plane, context: &Context) -> anyhow::Result<Endpoint> {
        Ok(match (context.named_endpoint(plane.variable())?, &self.endpoint) {
            (Some(named), _) => named,
            (None, Some(host)) => Endpoint::parse(host)?,
            (None, None) => Endpoint::of_aws(plane.service(), self.region()?)?,
        })
    }

    /// The region that the ARN names.
    fn region(&self) -> Result<&str, Failure> {
        let region = self.arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
        region.filter(|region| !region.is_empty()).ok_or_else(|| {
            Failure::new(format!("{:?} is no ARN", self.arn))
                .hint("deploy the agent again, or correct agent_arn in the configuration")
        })
    }

    /// Says what to do where the one on this machine would be started.
    pub(crate) fn explain(&self, error: ClientError) -> anyhow::Error {
        let hint = match &error {
            ClientError::NotRunning { .. } => {
                "see whether the host runs there, or name where it is now with --endpoint"
            }
            error if error.is_not_found() => "deploy it again: `agentcore deploy --endpoint URL`",
            _ => return error.into(),
        };
        Failure::new(format!("{} is deployed as {}: {error}", self.name, self.arn)).hint(hint).into()
    }
}
