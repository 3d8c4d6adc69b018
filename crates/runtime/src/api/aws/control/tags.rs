//! The tags of runtimes and endpoints.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::super::error::AwsError;
use super::request::{object, query, tags};
use crate::api::Api;
use crate::registry::Change;

type Tags = std::collections::BTreeMap<String, String>;

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(arn): Path<String>,
) -> Result<Json<Value>, AwsError> {
    let catalogue = api.registry.catalogue();
    let (runtime, endpoint) = catalogue.resource(&arn)?;
    Ok(Json(json!({ "tags": runtime.tags(endpoint)? })))
}

pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Path(arn): Path<String>,
    body: Bytes,
) -> Result<StatusCode, AwsError> {
    let new = tags(&object(&body)?)?;
    change(&api, &arn, |tags| tags.extend(new)).await
}

pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Path(arn): Path<String>,
    uri: Uri,
) -> Result<StatusCode, AwsError> {
    let gone = query(&uri, "tagKeys");
    change(&api, &arn, |tags| tags.retain(|key, _| !gone.contains(key))).await
}

async fn change(api: &Api, arn: &str, edit: impl FnOnce(&mut Tags)) -> Result<StatusCode, AwsError> {
    let changed = api.registry.change(None, |catalogue, _| {
        let (runtime, endpoint) = catalogue.resource(arn)?;
        let mut tags = runtime.tags(endpoint)?.clone();
        edit(&mut tags);
        Ok((Change::Put(Arc::new(runtime.with_tags(endpoint, tags)?)), json!({})))
    });
    changed.await?;
    Ok(StatusCode::NO_CONTENT)
}
