//! The app within somebody's own server.

use axum::Router;
use axum::routing::get;
use bedrock_agentcore::{App, Body, Response};
use http::Request;
use http_body_util::{Empty, Full};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{Answer, service};

fn app() -> App {
    App::new().entrypoint(async |payload: Value| payload)
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let Ok(response) = router.clone().oneshot(request).await;
    Answer::of(response).await
}

#[tokio::test]
async fn it_answers_under_a_prefix_beside_routes_of_ones_own() {
    for router in [
        Router::new().nest("/agent", app().into_router().unwrap()),
        Router::new().nest_service("/agent", service(app())),
    ] {
        let router = router.route("/own", get(async || "own"));
        let invocation = Request::post("/agent/invocations").body("[1]".into()).unwrap();
        assert_eq!(ask(&router, invocation).await.brief(), (200, "[1]"));
        let ping = Request::get("/agent/ping").body(Body::empty()).unwrap();
        assert_eq!(ask(&router, ping).await.json()["status"], "Healthy");
        let own = Request::get("/own").body(Body::empty()).unwrap();
        assert_eq!(ask(&router, own).await.brief(), (200, "own"));
        let wrong = Request::put("/agent/ping").body(Body::empty()).unwrap();
        assert_eq!(ask(&router, wrong).await.header("allow"), "GET, HEAD");
    }
}

#[tokio::test]
async fn it_can_be_merged_at_the_root() {
    let router = Router::new().route("/own", get(async || "own")).merge(app().into_router().unwrap());
    let invocation = Request::post("/invocations").body("[1]".into()).unwrap();
    assert_eq!(ask(&router, invocation).await.brief(), (200, "[1]"));
}

#[tokio::test]
async fn the_service_takes_bodies_of_any_type() {
    async fn answered(response: Result<Response, std::convert::Infallible>) -> Answer {
        let Ok(response) = response;
        Answer::of(response).await
    }
    let service = service(app());
    let post = || Request::post("/invocations");
    let full = post().body(Full::from("[1]")).unwrap();
    assert_eq!(answered(service.clone().oneshot(full).await).await.text(), "[1]");
    let text = post().body("[2]".to_owned()).unwrap();
    assert_eq!(answered(service.clone().oneshot(text).await).await.text(), "[2]");
    let empty = post().body(Empty::new()).unwrap();
    assert_eq!(answered(service.oneshot(empty).await).await.status, 400);
}
