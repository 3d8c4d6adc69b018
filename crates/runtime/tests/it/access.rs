//! Who may call at all.

use agentcore_runtime::{Host, HostError, HostOptions};
use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::support::{Answer, TestHost};

#[tokio::test(start_paused = true)]
async fn rebound_names_and_other_sites_are_refused_everywhere() {
    let host = TestHost::start().await;
    for path in ["/ping", "/_agentcore/v1/sessions", "/nowhere"] {
        for (header, value) in [("host", "rebound.example:8080"), ("origin", "https://evil.example")] {
            let mut request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
            request.headers_mut().insert(header, value.parse().unwrap());
            let answer = Answer::of(host.send(request).await).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {header}");
            assert_eq!(answer.json()["error"], "Forbidden");
        }
    }
    assert_eq!(host.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    assert_eq!(host.get("/invocations").await.status, StatusCode::METHOD_NOT_ALLOWED);
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_others_can_reach_is_refused_with_the_reason() {
    let host = TestHost::start().await;
    let (_, kind, clock) = host.parts();
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let mut options = HostOptions::new(folder.path());
        options.listen = address.parse().unwrap();
        let error =
            Host::start(options, std::sync::Arc::new(kind.clone()), clock.clone()).await.err().unwrap();
        assert!(matches!(error, HostError::NotLoopback(_)));
        assert!(error.to_string().contains("listen on a loopback address such as 127.0.0.1:8080"), "{error}");
    }
    host.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_host_on_the_same_state_is_refused() {
    let host = TestHost::start().await;
    let (options, kind, clock) = host.parts();
    let error = Host::start(options, std::sync::Arc::new(kind), clock).await.err().unwrap().to_string();
    assert!(error.contains("another host uses the state in"), "{error}");
    assert!(error.contains(&host.host.local_addr().to_string()), "{error}");
    host.end().await;
}
