//! botocore as the oracle: what boto3 puts on the wire is verified.

use std::path::PathBuf;
use std::process::Command;

use agentcore_auth::sigv4::Verifier;
use http::Request;
use serde::Deserialize;

use crate::support::judge;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Calls AgentCore's API and prints each request instead of sending it, with the time it was signed.
const SCRIPT: &str = r#"
import json, sys, boto3, botocore.session, datetime
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials

out = []
def keep(request, **_):
    body = request.body or b""
    body = body.read() if hasattr(body, "read") else body
    body = body.encode() if isinstance(body, str) else bytes(body)
    text = lambda v: v.decode() if isinstance(v, bytes) else v
    out.append({"method": request.method, "url": request.url, "body": list(body),
                "headers": [[k, text(v)] for k, v in request.headers.items()]})
    raise KeyboardInterrupt

secret = sys.argv[1]
def client(name):
    c = boto3.client(name, endpoint_url="http://localhost:8080", region_name="us-west-2",
                     aws_access_key_id="AKEXAMPLE", aws_secret_access_key=secret)
    c.meta.events.register("before-send.*", keep)
    return c
def call(f, **arguments):
    try: f(**arguments)
    except KeyboardInterrupt: pass

arn = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/writer-0123456789"
session = "0123456789-0123456789-0123456789-012345"
data, control = client("bedrock-agentcore"), client("bedrock-agentcore-control")
call(data.invoke_agent_runtime, agentRuntimeArn=arn, runtimeSessionId=session, payload=b'{"prompt": "\xc3\xa4"}')
call(data.invoke_agent_runtime, agentRuntimeArn=arn, qualifier="a b+c", payload=bytes(100_000), contentType="application/json",
     accept="text/event-stream", mcpSessionId="x  y", runtimeUserId="me")
call(data.stop_runtime_session, agentRuntimeArn=arn, runtimeSessionId=session, qualifier="DEFAULT")
call(data.get_agent_card, agentRuntimeArn=arn)
call(control.list_agent_runtimes, maxResults=10, nextToken="a/b=")
call(control.get_agent_runtime, agentRuntimeId="writer-0123456789", agentRuntimeVersion="1")
call(control.delete_agent_runtime, agentRuntimeId="writer-0123456789")
call(control.list_tags_for_resource, resourceArn=arn)
call(control.untag_resource, resourceArn=arn, tagKeys=["b", "a", "a"])

request = AWSRequest("GET", "http://localhost:8080/runtimes/" + arn.replace(":", "%3A").replace("/", "%2F") + "/ws?qualifier=DEFAULT",
                     headers={"host": "localhost:8080"})
SigV4QueryAuth(Credentials("AKEXAMPLE", secret), "bedrock-agentcore", "us-west-2", expires=300).add_auth(request)
out.append({"method": "GET", "url": request.url, "body": [], "headers": [["host", "localhost:8080"]]})
print(json.dumps({"time": int(datetime.datetime.now().timestamp()), "requests": out}))
"#;

#[derive(Deserialize)]
struct Printed {
    time: u64,
    requests: Vec<Wire>,
}

#[derive(Deserialize)]
struct Wire {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Wire {
    fn request(self) -> Request<Vec<u8>> {
        let target = self.url.strip_prefix("http://localhost:8080").unwrap();
        let mut request = Request::builder().method(self.method.as_str()).uri(target);
        let has_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if !has_host {
            request = request.header("host", "localhost:8080");
        }
        request.body(self.body).unwrap()
    }
}

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("AGENTCORE_TEST_PYTHON").filter(|path| !path.is_empty());
    if python.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "set AGENTCORE_TEST_PYTHON");
        println!("skipped: AGENTCORE_TEST_PYTHON names no Python with boto3");
    }
    python.map(PathBuf::from)
}

#[test]
fn what_boto3_sends_is_verified() {
    let Some(python) = python() else { return };
    let output = Command::new(python).args(["-c", SCRIPT, SECRET]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Printed = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed.requests.len(), 10);
    let verifier = Verifier::new("us-west-2");
    for wire in printed.requests {
        let mut request = wire.request();
        let name = format!("{} {}", request.method(), request.uri());
        assert_eq!(judge(&verifier, SECRET, &request, printed.time), Ok(()), "{name}");
        request.body_mut().push(b' ');
        assert!(judge(&verifier, SECRET, &request, printed.time).is_err(), "{name}");
    }
}
