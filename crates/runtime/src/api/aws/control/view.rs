//! Runtimes, versions and endpoints as the API shows them.

use agentcore_protocol::Timestamp;
use serde_json::{Value, json};

use crate::registry::{AwsIdentity, Endpoint, Runtime, Version};

/// Whatever is on record can be used at once.
pub(super) const READY: &str = "READY";
/// The end of the sessions is decided, though they may not have ended yet.
pub(super) const DELETING: &str = "DELETING";

/// A runtime at one of its versions, in full.
pub(super) fn runtime(
    identity: &AwsIdentity,
    runtime: &Runtime,
    (number, version): (u32, &Version),
) -> Value {
    let mut shown = serde_json::to_value(&version.settings).unwrap_or_default();
    let own = summary(identity, runtime, (number, version));
    if let (Value::Object(shown), Value::Object(own)) = (&mut shown, own) {
        // A description is optional here, and in lists it is not.
        shown.extend(own.into_iter().filter(|(name, _)| name != "description"));
    }
    shown["createdAt"] = time(runtime.created_at);
    let limits = version.definition.lifecycle;
    shown["lifecycleConfiguration"] = json!({
        "idleRuntimeSessionTimeout": limits.idle_timeout().as_secs(),
        "maxLifetime": limits.max_lifetime().as_secs(),
    });
    shown
}

/// A runtime at one of its versions, as in a list.
pub(super) fn summary(
    identity: &AwsIdentity,
    runtime: &Runtime,
    (number, version): (u32, &Version),
) -> Value {
    json!({
        "agentRuntimeArn": identity.runtime(&runtime.id),
        "agentRuntimeId": runtime.id,
        "agentRuntimeName": runtime.name,
        "agentRuntimeVersion": number.to_string(),
        "description": version.settings.description.as_deref().unwrap_or_default(),
        "lastUpdatedAt": time(version.created_at),
        "status": READY,
    })
}

/// What creating or updating a runtime answers.
pub(super) fn changed(identity: &AwsIdentity, runtime: &Runtime, at: Timestamp) -> Value {
    json!({
        "agentRuntimeArn": identity.runtime(&runtime.id),
        "agentRuntimeId": runtime.id,
        "agentRuntimeVersion": runtime.last_version.to_string(),
        "createdAt": time(runtime.created_at),
        "lastUpdatedAt": time(at),
        "status": READY,
    })
}

/// An endpoint. Members that only some operations answer with are in all: clients skip what their
/// model does not name.
pub(super) fn endpoint(identity: &AwsIdentity, runtime: &Runtime, name: &str, endpoint: &Endpoint) -> Value {
    let version = endpoint.version.to_string();
    let mut shown = json!({
        "name": name,
        "endpointName": name,
        "id": endpoint.id,
        "liveVersion": version,
        "targetVersion": version,
        "agentRuntimeEndpointArn": identity.endpoint(&runtime.id, name),
        "agentRuntimeArn": identity.runtime(&runtime.id),
        "agentRuntimeId": runtime.id,
        "status": READY,
        "createdAt": time(endpoint.created_at),
        "lastUpdatedAt": time(endpoint.updated_at),
    });
    if let Some(description) = &endpoint.description {
        shown["description"] = json!(description);
    }
    shown
}

/// ISO 8601, in UTC.
fn time(at: Timestamp) -> Value {
    let millis = i64::try_from(at.unix_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or(Value::Null, |time| json!(format!("{time:.3}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_8601_in_utc() {
        assert_eq!(time(Timestamp::from_unix_millis(1_767_322_984_005)), "2026-01-02T03:03:04.005Z");
        assert_eq!(time(Timestamp::from_unix_millis(0)), "1970-01-01T00:00:00.000Z");
    }
}
