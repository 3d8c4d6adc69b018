//! Uploads of code, for those who administer the agent that is to run it.

use std::sync::Arc;

use agentcore_auth::{Action, Identity};
use agentcore_protocol::agent::MAX_PAYLOAD_BYTES;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::put;
use axum::{Json, Router};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::{Api, ApiError};
use crate::api::caller::Caller;
use crate::registry::{LOCAL_BUCKET, UploadError, unpack, upload_prefix};

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new().route("/code/{agent}/{sha256}", put(upload))
}

/// Takes a tar in gzip whose SHA-256 is in the path, and says where an artifact finds it.
///
/// Whoever is not asked who they are may not: code that is uploaded runs as the host's user.
async fn upload(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path((agent, sha256)): Path<(String, String)>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    if matches!(caller.identity(), Identity::Local | Identity::Visitor) {
        return Err(ApiError::Forbidden(
            "code is taken from those who show who they are: sign with a key of `agentcore keys create --administer`",
        ));
    }
    caller.must(Action::Administer, &agent)?;
    let root = api
        .registry
        .code_root()
        .folder()
        .ok_or(ApiError::BadRequest("this host takes no code: start it with --code-root DIR"))?;
    let names_well = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if agent.is_empty()
        || agent.len() > 48
        || !names_well(&agent)
        || sha256.len() != 64
        || !names_well(&sha256)
    {
        return Err(ApiError::BadRequest("the path is /code/AGENT/SHA256, the hash in hexadecimal digits"));
    }
    let archive = Limited::new(body, MAX_PAYLOAD_BYTES).collect().await;
    let archive =
        archive.map_err(|_| ApiError::BadRequest("the archive is too large, or was cut short"))?.to_bytes();
    let prefix = upload_prefix(&agent, &sha256);
    let uploads = api.registry.uploads();
    uploads.spare(&prefix);
    let unpacked = {
        let (root, prefix) = (root.clone(), prefix.clone());
        spawn_blocking(move || {
            let hash: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
            if hash != sha256 {
                return Ok(None);
            }
            let is_new = unpack(&archive[..], &root, &prefix)?;
            if is_new {
                uploads.mark(&prefix).map_err(UploadError::Root)?;
            }
            Ok(Some(is_new))
        })
    };
    let is_new = match unpacked.await {
        Ok(Ok(Some(is_new))) => is_new,
        Ok(Ok(None)) => return Err(ApiError::BadRequest("the SHA-256 in the path is not that of the body")),
        Ok(Err(error)) => return Err(ApiError::Upload(error)),
        Err(_) => return Err(ApiError::BadRequest("the host is shutting down")),
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let folder = root.join(&prefix);
    Ok((status, Json(json!({ "bucket": LOCAL_BUCKET, "prefix": prefix, "folder": folder }))))
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        Self::Upload(error)
    }
}
