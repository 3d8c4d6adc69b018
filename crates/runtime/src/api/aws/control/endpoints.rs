//! The endpoints of a runtime: create, list, show, update, delete.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::error::AwsError;
use super::page::Page;
use super::request::{accepted, object, query, tags, text, token};
use super::view;
use crate::agent::is_agent_name;
use crate::api::Api;
use crate::api::caller::Caller;
use crate::registry::{Change, RegistryError};

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, AwsError> {
    let request = object(&body)?;
    let name = text(&request, "name")?.filter(|name| is_agent_name(name));
    let bad_name = || AwsError::invalid("name", "a name has the form [a-zA-Z][a-zA-Z0-9_]{0,47}");
    let name = name.ok_or_else(bad_name)?;
    let (version, described) =
        (text(&request, "agentRuntimeVersion")?, (description(&request)?, tags(&request)?));
    let what = format!("{runtime} {request}");
    let token = token(&caller, "CreateAgentRuntimeEndpoint", text(&request, "clientToken")?, what)?;
    let created = api.registry.change(token, |catalogue, at| {
        let runtime = catalogue.runtime(&runtime)?.with_endpoint(&name, version.as_deref(), described, at)?;
        let answer = view::endpoint(&catalogue.identity, &runtime, &name, runtime.endpoint(&name)?);
        Ok((Change::Put(Arc::new(runtime)), answer))
    });
    accepted(created.await)
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path((runtime, name)): Path<(String, String)>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, AwsError> {
    let request = object(&body)?;
    let (version, description) = (text(&request, "agentRuntimeVersion")?, description(&request)?);
    let what = format!("{runtime} {name} {request}");
    let token = token(&caller, "UpdateAgentRuntimeEndpoint", text(&request, "clientToken")?, what)?;
    let updated = api.registry.change(token, |catalogue, at| {
        let runtime = catalogue.runtime(&runtime)?;
        let runtime = runtime.with_endpoint_changed(&name, version.as_deref(), description, at)?;
        let answer = view::endpoint(&catalogue.identity, &runtime, &name, runtime.endpoint(&name)?);
        Ok((Change::Put(Arc::new(runtime)), answer))
    });
    accepted(updated.await)
}

fn description(request: &Value) -> Result<Option<String>, AwsError> {
    let description = text(request, "description")?;
    if description.as_ref().is_some_and(|text| text.is_empty() || text.len() > 256) {
        return Err(AwsError::invalid("description", "a description has 1 to 256 characters"));
    }
    Ok(description)
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, AwsError> {
    let page = Page::of(&uri)?;
    let catalogue = api.registry.catalogue();
    // Of all operations on a runtime, the model of this one alone knows no ResourceNotFoundException.
    let unknown = |error: RegistryError| AwsError::invalid("agentRuntimeId", error.to_string());
    let runtime = catalogue.runtime(&runtime).map_err(unknown)?;
    let shown = runtime
        .endpoints
        .iter()
        .map(|(name, endpoint)| (name.clone(), view::endpoint(&catalogue.identity, runtime, name, endpoint)));
    Ok(Json(page.cut("runtimeEndpoints", shown)))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path((runtime, name)): Path<(String, String)>,
) -> Result<Json<Value>, AwsError> {
    let catalogue = api.registry.catalogue();
    let runtime = catalogue.runtime(&runtime)?;
    Ok(Json(view::endpoint(&catalogue.identity, runtime, &name, runtime.endpoint(&name)?)))
}

/// Deletes an endpoint and ends its sessions.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((runtime, name)): Path<(String, String)>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, AwsError> {
    let client_token = query(&uri, "clientToken").pop();
    let token = token(&caller, "DeleteAgentRuntimeEndpoint", client_token, format!("{runtime} {name}"))?;
    let deleted = api.registry.change(token, |catalogue, _| {
        let runtime = catalogue.runtime(&runtime)?.without_endpoint(&name)?;
        let answer = json!({
            "agentRuntimeId": runtime.id, "endpointName": name, "status": view::DELETING,
        });
        Ok((Change::Put(Arc::new(runtime)), answer))
    });
    accepted(deleted.await)
}
