//! The versions of a runtime.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::Value;

use super::super::error::AwsError;
use super::page::Page;
use super::view;
use crate::api::Api;

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, AwsError> {
    let page = Page::of(&uri)?;
    let catalogue = api.registry.catalogue();
    let runtime = catalogue.runtime(&runtime)?;
    let shown = runtime.versions.iter().map(|(number, version)| {
        // Of equal length, so that tokens are in the order of the numbers.
        (format!("{number:05}"), view::summary(&catalogue.identity, runtime, (*number, version)))
    });
    Ok(Json(page.cut("agentRuntimes", shown)))
}
