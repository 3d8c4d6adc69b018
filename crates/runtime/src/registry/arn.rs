//! Amazon resource names of what this host serves.

use serde::{Deserialize, Serialize};

use super::record::DEFAULT_ENDPOINT;

/// What this host's ARNs say of where it is. Clients look at their form alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsIdentity {
    /// The region.
    pub region: String,
    /// The account, 12 digits.
    pub account: String,
}

impl Default for AwsIdentity {
    fn default() -> Self {
        Self { region: "us-east-1".to_owned(), account: "000000000000".to_owned() }
    }
}

impl AwsIdentity {
    /// The ARN of a runtime.
    pub(crate) fn runtime(&self, id: &str) -> String {
        format!("arn:aws:bedrock-agentcore:{}:{}:runtime/{id}", self.region, self.account)
    }

    /// The ARN of an endpoint of a runtime.
    pub(crate) fn endpoint(&self, id: &str, name: &str) -> String {
        format!("{}/runtime-endpoint/{name}", self.runtime(id))
    }

    /// The role of agents that were registered without one.
    pub(crate) fn role(&self) -> String {
        format!("arn:aws:iam::{}:role/local", self.account)
    }
}

/// What a text means by a runtime: its id or name, and the endpoint if the text names one.
///
/// Region and account of an ARN are not compared: a host has one of each, and a client that was
/// written for AWS keeps those it has.
pub(super) fn parse(text: &str) -> (&str, Option<&str>) {
    let resource = match text.strip_prefix("arn:") {
        Some(arn) => arn.splitn(5, ':').nth(4).and_then(|resource| resource.strip_prefix("runtime/")),
        None => Some(text),
    };
    let resource = resource.unwrap_or(text);
    match resource.split_once("/runtime-endpoint/") {
        Some((runtime, endpoint)) => (runtime, Some(endpoint)),
        None => (resource, None),
    }
}

/// The endpoint that is meant, `DEFAULT` unless it is said otherwise.
pub(super) fn endpoint<'a>(in_arn: Option<&'a str>, qualifier: Option<&'a str>) -> &'a str {
    qualifier.filter(|name| !name.is_empty()).or(in_arn).unwrap_or(DEFAULT_ENDPOINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_runtimes_name_is_understood() {
        let identity = AwsIdentity::default();
        let arn = identity.runtime("writer-a1b2c3d4e5");
        assert_eq!(arn, "arn:aws:bedrock-agentcore:us-east-1:000000000000:runtime/writer-a1b2c3d4e5");
        assert_eq!(parse(&arn), ("writer-a1b2c3d4e5", None));
        assert_eq!(
            parse(&identity.endpoint("writer-a1b2c3d4e5", "prod")),
            ("writer-a1b2c3d4e5", Some("prod"))
        );
        assert_eq!(
            parse("arn:aws-us-gov:bedrock-agentcore:eu-west-1:1:runtime/w-1234567890"),
            ("w-1234567890", None)
        );
        assert_eq!(parse("writer"), ("writer", None));
        for nonsense in ["arn:", "arn:aws:s3:::bucket", "arn:aws:bedrock-agentcore:r:a:gateway/x", ""] {
            assert_eq!(parse(nonsense).0, nonsense);
        }
    }

    #[test]
    fn the_qualifier_goes_before_the_arn() {
        assert_eq!(endpoint(Some("prod"), Some("staging")), "staging");
        assert_eq!(endpoint(Some("prod"), None), "prod");
        assert_eq!(endpoint(None, Some("")), "DEFAULT");
    }
}
