//! A tour of AWS's API with AWS's SDK for Rust: `aws-tour URL ACCESS_KEY_ID SECRET_ACCESS_KEY`.
//! What it sees goes to standard output as JSON.

mod control;
mod data;

use std::time::Duration;

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sdk_bedrockagentcore::config::retry::RetryConfig;
use aws_sdk_bedrockagentcore::config::timeout::TimeoutConfig;
use aws_sdk_bedrockagentcore::config::{self as data_config, Region};
use aws_sdk_bedrockagentcorecontrol::config as control_config;
use serde_json::json;

/// Where the host is, and who calls.
struct Where {
    url: String,
    credentials: Credentials,
}

impl Where {
    fn given() -> anyhow::Result<Self> {
        let mut given = std::env::args().skip(1);
        let mut next = |name: &str| given.next().with_context(|| format!("{name} is missing"));
        let url = next("the URL")?;
        let (id, secret) = (next("the id of a key")?, next("its secret")?);
        Ok(Self { url, credentials: Credentials::new(id, secret, None, None, "arguments") })
    }

    /// Nothing is changed but the endpoint. The SDK is built without TLS, and so is its client.
    fn runtimes(&self) -> aws_sdk_bedrockagentcorecontrol::Client {
        let builder = control_config::Builder::new()
            .behavior_version_latest()
            .endpoint_url(&self.url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(self.credentials.clone())
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        aws_sdk_bedrockagentcorecontrol::Client::from_conf(builder.build())
    }

    fn agents(&self) -> aws_sdk_bedrockagentcore::Client {
        aws_sdk_bedrockagentcore::Client::from_conf(self.data().build())
    }

    /// A client that waits two seconds for an answer, and then asks again.
    fn impatient(&self) -> aws_sdk_bedrockagentcore::Client {
        let timeouts = TimeoutConfig::builder().read_timeout(Duration::from_secs(2)).build();
        let retries = RetryConfig::standard().with_max_attempts(6);
        let builder = self.data().timeout_config(timeouts).retry_config(retries);
        aws_sdk_bedrockagentcore::Client::from_conf(builder.build())
    }

    fn data(&self) -> data_config::Builder {
        data_config::Builder::new()
            .behavior_version_latest()
            .endpoint_url(&self.url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(self.credentials.clone())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let given = Where::given()?;
    let runtimes = given.runtimes();
    let (arn, id, created) = control::create(&runtimes).await?;
    let session = data::Session { client: given.agents(), arn, id: format!("rust-{}", "-".repeat(35)) };
    let seen = json!({
        "created": created,
        "control": control::look_around(&runtimes, &id).await?,
        "answers": session.answers().await?,
        "bytes": session.much_both_ways().await?,
        "failures": session.failures().await,
        "events": session.command().await?,
        "retried": session.retried(given.impatient()).await?,
        "stopped": session.stop().await?,
        "deleted": control::delete(&runtimes, &id).await?,
    });
    println!("{seen}");
    Ok(())
}
