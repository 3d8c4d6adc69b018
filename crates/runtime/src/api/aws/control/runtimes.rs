//! Agent runtimes: create, list, show, update, delete.

use std::sync::Arc;

use agentcore_auth::Action;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::super::error::AwsError;
use super::page::Page;
use super::request::{accepted, object, query, tags, text, token};
use super::view;
use crate::agent::AgentDefinition;
use crate::api::Api;
use crate::api::asked::cut;
use crate::api::caller::Caller;
use crate::api::witness::Testimony;
use crate::registry::{Change, NewRuntime, RegistryError, Settings, Token, define};

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, AwsError> {
    let request = object(&body)?;
    let token = token(&caller, "CreateAgentRuntime", text(&request, "clientToken")?, request.to_string())?;
    if api.registry.is_repeated(token.as_ref()).await? {
        return accepted(api.registry.change(token, |_, _| Ok((Change::Nothing, Value::Null))).await);
    }
    let missing = || AwsError::invalid("agentRuntimeName", "name the runtime");
    let name = text(&request, "agentRuntimeName")?.ok_or_else(missing)?;
    let testimony = Testimony { agent: Some(cut(&name)), ..Testimony::default() };
    let created = create_named(&api, &caller, name, &request, token).await;
    let mut answer = created.unwrap_or_else(IntoResponse::into_response);
    answer.extensions_mut().insert(testimony);
    Ok(answer)
}

async fn create_named(
    api: &Api,
    caller: &Caller,
    name: String,
    request: &Value,
    token: Option<Token>,
) -> Result<Response, AwsError> {
    caller.must(Action::Administer, &name)?;
    let tags = tags(request)?;
    let (settings, definition) = defined(api, name, Settings::requested(request)?).await?;
    let created = api.registry.change(token, |catalogue, at| {
        let runtime = catalogue.create(NewRuntime { settings, definition, tags }, at)?;
        let answer = view::changed(&catalogue.identity, &runtime, at);
        Ok((Change::Put(Arc::new(runtime)), answer))
    });
    accepted(created.await)
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, AwsError> {
    let request = object(&body)?;
    let what = format!("{runtime} {request}");
    let token = token(&caller, "UpdateAgentRuntime", text(&request, "clientToken")?, what)?;
    let (name, known) = {
        let catalogue = api.registry.catalogue();
        let runtime = catalogue.runtime(&runtime)?;
        (runtime.name.clone(), runtime.newest().and_then(|(_, newest)| newest.settings.session.clone()))
    };
    let mut settings = Settings::requested(&request)?;
    // AWS's clients know nothing of it, and do not take it away by saying nothing.
    settings.session = settings.session.or(known);
    let (settings, definition) = defined(&api, name, settings).await?;
    let updated = api.registry.change(token, |catalogue, at| {
        let runtime = catalogue.runtime(&runtime)?.with_version(settings, definition, at)?;
        let answer = view::changed(&catalogue.identity, &runtime, at);
        Ok((Change::Put(Arc::new(runtime)), answer))
    });
    accepted(updated.await)
}

/// The settings that are asked for, if they may be had, and what is to run for them.
async fn defined(
    api: &Api,
    name: String,
    settings: Settings,
) -> Result<(Settings, AgentDefinition), AwsError> {
    if let Some(session) = &settings.session {
        api.manager.allowance().check(session)?;
    }
    let root = api.registry.code_root();
    let defined = spawn_blocking(move || define(&name, &settings, &root).map(|defined| (settings, defined)));
    Ok(defined.await.map_err(|_| RegistryError::Conflict("the host is shutting down".to_owned()))??)
}

/// Those that the caller administers.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, AwsError> {
    let page = Page::of(&uri)?;
    let catalogue = api.registry.catalogue();
    let shown = catalogue.runtimes().filter(|runtime| caller.may(Action::Administer, &runtime.name));
    let shown = shown.filter_map(|runtime| {
        Some((runtime.id.clone(), view::summary(&catalogue.identity, runtime, runtime.newest()?)))
    });
    Ok(Json(page.cut("agentRuntimes", shown)))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, AwsError> {
    let number = query(&uri, "version").pop();
    let catalogue = api.registry.catalogue();
    let runtime = catalogue.runtime(&runtime)?;
    Ok(Json(view::runtime(&catalogue.identity, runtime, runtime.version(number.as_deref())?)))
}

/// Deletes a runtime and ends its sessions, or deletes one version.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(runtime): Path<String>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, AwsError> {
    let number = query(&uri, "version").pop();
    let what = format!("{runtime} {number:?}");
    let token = token(&caller, "DeleteAgentRuntime", query(&uri, "clientToken").pop(), what)?;
    let deleted = api.registry.change(token, |catalogue, _| {
        let runtime = catalogue.runtime(&runtime)?;
        let mut answer = json!({ "agentRuntimeId": runtime.id, "status": view::DELETING });
        let Some(number) = number else { return Ok((Change::Delete(runtime.id.clone()), answer)) };
        let (number, _) = runtime.version(Some(&number))?;
        answer["agentRuntimeVersion"] = json!(number.to_string());
        Ok((Change::Put(Arc::new(runtime.without_version(number)?)), answer))
    });
    accepted(deleted.await)
}
