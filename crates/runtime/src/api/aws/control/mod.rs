//! The control plane: agent runtimes with versions and endpoints, and tags.

mod endpoints;
mod page;
mod request;
mod runtimes;
mod tags;
mod versions;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post, put};

use crate::api::Api;
use crate::api::caller::administers;

/// Most bytes of a request: the environment may hold 50 variables of 5,000 characters.
const MOST: usize = 1024 * 1024;

pub(super) fn router(api: &Arc<Api>) -> Router<Arc<Api>> {
    let runtimes = put(runtimes::create).post(runtimes::list);
    let runtime = get(runtimes::show).put(runtimes::update).delete(runtimes::delete);
    let endpoints = put(endpoints::create).post(endpoints::list);
    let endpoint = get(endpoints::show).put(endpoints::update).delete(endpoints::delete);
    let router = both(Router::new(), "/runtimes", runtimes);
    let router = both(router, "/runtimes/{runtime}", runtime);
    let router = both(router, "/runtimes/{runtime}/versions", post(versions::list));
    let router = both(router, "/runtimes/{runtime}/runtime-endpoints", endpoints);
    let router = both(router, "/runtimes/{runtime}/runtime-endpoints/{endpoint}", endpoint);
    router
        .route("/tags/{arn}", get(tags::list).post(tags::add).delete(tags::remove))
        .layer(from_fn_with_state(api.clone(), administers))
        .layer(DefaultBodyLimit::max(MOST))
}

/// AWS's paths end in a slash, which people leave out.
fn both(router: Router<Arc<Api>>, path: &str, methods: MethodRouter<Arc<Api>>) -> Router<Arc<Api>> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}
