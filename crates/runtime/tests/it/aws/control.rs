//! Runtimes, versions, endpoints, tags: what they are after a restart, and for sessions.

use std::path::Path;
use std::time::Duration;

use agentcore_protocol::headers::SESSION_ID;
use agentcore_sandbox::NetworkMode;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{call, error};
use crate::support::{TestHost, session_id};

/// A host with an executable `agent` below its code root.
async fn host() -> TestHost {
    TestHost::start_with(|options| {
        let root = options.state.join("code");
        std::fs::create_dir_all(root.join("writer")).unwrap();
        std::fs::write(root.join("writer/agent"), "").unwrap();
        options.code_root = Some(root);
    })
    .await
}

fn request(host: &TestHost, change: Value) -> String {
    let root = host.options.code_root.as_deref().unwrap_or(Path::new("/"));
    let uri = format!("file://{}/writer/agent", root.display());
    let mut request = json!({
        "agentRuntimeName": "writer",
        "agentRuntimeArtifact": {"containerConfiguration": {"containerUri": uri}},
        "roleArn": "arn:aws:iam::123456789012:role/agent",
    });
    request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    request.to_string()
}

async fn create(host: &TestHost) -> Value {
    let created = call(host, "PUT /runtimes/", &[], request(host, json!({}))).await;
    assert_eq!(created.status, 202, "{created:?}");
    created.json()
}

#[tokio::test(start_paused = true)]
async fn what_is_registered_outlives_the_host() {
    let host = host().await;
    let created = create(&host).await;
    let id = created["agentRuntimeId"].as_str().unwrap().to_owned();
    let arn = created["agentRuntimeArn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F");
    let endpoint = json!({"name": "prod", "tags": {"stage": "prod"}}).to_string();
    call(&host, &format!("PUT /runtimes/{id}/runtime-endpoints/"), &[], endpoint).await;
    call(&host, &format!("POST /tags/{arn}"), &[], r#"{"tags":{"team":"red"}}"#).await;
    let before = host.get(&format!("/runtimes/{id}/")).await.json();
    let endpoints = async |host: &TestHost| {
        call(host, &format!("POST /runtimes/{id}/runtime-endpoints/"), &[], "").await.json()
    };
    let had = endpoints(&host).await;
    let host = host.restart().await;
    assert_eq!(host.get(&format!("/runtimes/{id}/")).await.json(), before);
    assert_eq!(endpoints(&host).await, had);
    assert_eq!(host.get(&format!("/tags/{arn}")).await.json(), json!({"tags": {"team": "red"}}));
    let path = format!("POST /runtimes/{arn}/invocations?qualifier=prod");
    assert_eq!(call(&host, &path, &[], "{}").await.status, 200);
    let names: Vec<_> = list(&host).await.iter().map(|runtime| runtime["agentRuntimeName"].clone()).collect();
    assert_eq!(names, ["tester", "writer"], "the launched one is registered once");
    host.end().await;
}

async fn list(host: &TestHost) -> Vec<Value> {
    call(host, "POST /runtimes/", &[], "").await.json()["agentRuntimes"].as_array().unwrap().clone()
}

/// Of all operations on a runtime, AWS's model of this one alone has no ResourceNotFoundException.
#[tokio::test(start_paused = true)]
async fn endpoints_of_nothing_are_refused_as_the_model_says() {
    let host = host().await;
    let refused = call(&host, "POST /runtimes/nobody-0000000000/runtime-endpoints/", &[], "").await;
    let told = error(&refused, 400, "ValidationException");
    assert_eq!(told["fieldList"][0]["name"], "agentRuntimeId", "{told}");
    let refused = call(&host, "POST /runtimes/nobody-0000000000/versions/", &[], "").await;
    error(&refused, 404, "ResourceNotFoundException");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn whenever_a_caller_leaves_what_is_registered_is_what_is_on_disk() {
    let host = host().await;
    for looks in 0..20 {
        let new = request(&host, json!({"agentRuntimeName": format!("left_{looks}")}));
        let mut creating = Box::pin(call(&host, "PUT /runtimes/", &[], new));
        for _ in 0..looks {
            if (&mut creating).now_or_never().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let registered = list(&host).await;
    assert!(registered.len() > 1, "{registered:?}");
    let host = host.restart().await;
    assert_eq!(list(&host).await, registered);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_version_and_ends_with_its_runtime() {
    let host = host().await;
    let id = create(&host).await["agentRuntimeId"].as_str().unwrap().to_owned();
    let invoke = async |session: &str| {
        let path = format!("POST /runtimes/{id}/invocations");
        call(&host, &path, &[(SESSION_ID, &session_id(session))], "{}").await
    };
    invoke("old").await;
    let changed = request(&host, json!({"environmentVariables": {"MODE": "new"}}));
    let updated = call(&host, &format!("PUT /runtimes/{id}/"), &[], changed).await.json();
    assert_eq!(updated["agentRuntimeVersion"], "2");
    assert_eq!(invoke("old").await.json()["count"], 2);
    invoke("new").await;
    let modes: Vec<_> = host
        .kind
        .agents()
        .iter()
        .map(|agent| agent.spec().env.contains_key(std::ffi::OsStr::new("MODE")))
        .collect();
    assert_eq!(modes, [false, true]);
    let deleted = call(&host, &format!("DELETE /runtimes/{id}/"), &[], "").await;
    assert_eq!((deleted.status.as_u16(), &deleted.json()["status"]), (202, &json!("DELETING")));
    error(&invoke("old").await, 404, "ResourceNotFoundException");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(host.kind.running(), 0);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_of_two_endpoints_never_meet() {
    let host = host().await;
    let id = create(&host).await["agentRuntimeId"].as_str().unwrap().to_owned();
    call(&host, &format!("PUT /runtimes/{id}/runtime-endpoints"), &[], r#"{"name":"prod"}"#).await;
    let session = session_id("same");
    let count = async |query: &str| {
        let path = format!("POST /runtimes/{id}/invocations{query}");
        call(&host, &path, &[(SESSION_ID, &session)], "{}").await.json()["count"].clone()
    };
    assert_eq!(
        (count("").await, count("?qualifier=prod").await, count("?qualifier=DEFAULT").await),
        (json!(1), json!(1), json!(2))
    );
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_code_root_nothing_can_be_created() {
    let host = TestHost::start().await;
    let refused = call(&host, "PUT /runtimes/", &[], request(&host, json!({}))).await;
    let told = error(&refused, 400, "ValidationException");
    assert!(told["message"].as_str().unwrap().contains("--code-root"), "{told}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_launched_anew_becomes_the_next_version() {
    let host = TestHost::start().await;
    let mut host = host.restart().await;
    let version = |runtimes: Vec<Value>| runtimes[0]["agentRuntimeVersion"].clone();
    assert_eq!(version(list(&host).await), "1", "it is the same");
    host.options.agents[0].program = "/bin/other".into();
    let host = host.restart().await;
    assert_eq!(version(list(&host).await), "2");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_refused() {
    let host = host().await;
    for body in ["no", "[]", r#"{"agentRuntimeName":7}"#, "{}", r#"{"agentRuntimeName":"a","tags":[]}"#] {
        error(&call(&host, "PUT /runtimes/", &[], body).await, 400, "ValidationException");
    }
    error(&call(&host, "POST /runtimes/?maxResults=0", &[], "").await, 400, "ValidationException");
    error(&call(&host, "GET /runtimes/tester/?version=7", &[], "").await, 404, "ResourceNotFoundException");
    error(&call(&host, "GET /tags/nothing", &[], "").await, 404, "ResourceNotFoundException");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_the_api_has_the_network_and_the_limits_that_are_asked_for() {
    let host = host().await;
    let own = json!({"x-agentcore": {"network": "none", "limits": {"memory_bytes": 1000}}});
    let created = call(&host, "PUT /runtimes/", &[], request(&host, own.clone())).await;
    assert_eq!(created.status, 202, "{created:?}");
    // AWS's clients update it without a word of these.
    let mut update: Value = serde_json::from_str(&request(&host, json!({}))).unwrap();
    update.as_object_mut().unwrap().remove("agentRuntimeName");
    let updated = call(&host, "PUT /runtimes/writer/", &[], update.to_string()).await;
    assert_eq!(updated.status, 202, "{updated:?}");
    let session = session_id("limited");
    let invoked = call(&host, "POST /runtimes/writer/invocations", &[(SESSION_ID, &session)], "{}").await;
    assert_eq!(invoked.status, 200, "{invoked:?}");
    let agents = host.kind.agents();
    let spec = agents.last().unwrap().spec();
    assert_eq!((spec.network, spec.limits.memory_bytes), (NetworkMode::None, Some(1000)));
    assert!(spec.confined);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_the_api_is_not_let_onto_the_machines_network() {
    let host = host().await;
    let wanted = request(&host, json!({"x-agentcore": {"network": "host"}}));
    let refused = call(&host, "PUT /runtimes/", &[], wanted).await;
    assert!(refused.status == 400 && refused.text.contains("--network host"), "{refused:?}");
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_made_anew_knows_no_key_of_the_earlier_one() {
    let host = host().await;
    let key: (&str, &str) = ("idempotency-key", "order-1");
    let invoke = async |id: &str, payload: &str| {
        let arn =
            format!("arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/{id}").replace(':', "%3A");
        let path = format!("POST /runtimes/{}/invocations", arn.replace('/', "%2F"));
        let session = session_id("a");
        call(&host, &path, &[(SESSION_ID, &session), key], payload.to_owned()).await
    };
    let first = create(&host).await["agentRuntimeId"].as_str().unwrap().to_owned();
    assert_eq!(invoke(&first, "{}").await.status, 200);
    let deleted = call(&host, &format!("DELETE /runtimes/{first}/"), &[], "").await;
    assert_eq!((deleted.status.as_u16(), &deleted.json()["status"]), (202, &json!("DELETING")));
    // It is made once the earlier one has come to its end.
    let second = create(&host).await["agentRuntimeId"].as_str().unwrap().to_owned();
    let list = host.get("/_agentcore/v1/invocations?agent=writer").await.json();
    assert_eq!(list["invocations"], json!([]));
    let fresh = invoke(&second, r#"{"another": 1}"#).await;
    assert_eq!((fresh.status.as_u16(), fresh.text.as_str()), (200, r#"{"count":1}"#), "{fresh:?}");
    host.end().await;
}
