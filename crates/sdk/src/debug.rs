//! Debug actions: payloads that ask the SDK itself, only when debug is on.

use agentcore_protocol::debug::{ACTION_KEY, DebugAction, ForcedStatus, ForcedStatusWord};
use agentcore_protocol::{PingStatus, error::ErrorBody};
use http::StatusCode;
use serde_json::{Map, Value};

use crate::health::{Health, Judge};
use crate::respond::{self, Response};
use crate::tasks::Tasks;

/// The action that a payload asks for. `None` for an ordinary payload: one that is no object, or
/// has no action or an empty one.
pub(crate) fn requested_action(payload: &str) -> Option<Value> {
    let mut object: Map<String, Value> = serde_json::from_str(payload).ok()?;
    let action = object.remove(ACTION_KEY)?;
    let empty = match &action {
        Value::Null | Value::Bool(false) => true,
        Value::String(name) => name.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    };
    (!empty).then_some(action)
}

/// Carries out an action.
pub(crate) async fn perform(action: &Value, tasks: &Tasks, health: &Health, judge: &Judge) -> Response {
    let Some(known) = action.as_str().and_then(DebugAction::parse) else {
        let name = action.as_str().map_or_else(|| action.to_string(), str::to_owned);
        return respond::json(StatusCode::BAD_REQUEST, &ErrorBody::new(format!("Unknown action: {name}")));
    };
    let forced = |forced_status| respond::json(StatusCode::OK, &ForcedStatus { forced_status });
    match known {
        DebugAction::PingStatus => respond::json(StatusCode::OK, &judge.report().await),
        DebugAction::JobStatus => respond::json(StatusCode::OK, &tasks.get_async_task_info()),
        DebugAction::ForceBusy => {
            health.force_ping_status(PingStatus::HealthyBusy);
            forced(ForcedStatusWord::HealthyBusy)
        }
        DebugAction::ForceHealthy => {
            health.force_ping_status(PingStatus::Healthy);
            forced(ForcedStatusWord::Healthy)
        }
        DebugAction::ClearForcedStatus => {
            health.clear_forced_ping_status();
            forced(ForcedStatusWord::Cleared)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_with_an_action_is_a_debug_payload() {
        for ordinary in [
            r#"{"prompt":"hi"}"#,
            r#"{"_agent_core_app_action":""}"#,
            r#"{"_agent_core_app_action":null}"#,
            r#"{"_agent_core_app_action":false}"#,
            r#"{"_agent_core_app_action":0}"#,
            r#"{"_agent_core_app_action":[]}"#,
            r#"{"_agent_core_app_action":{}}"#,
            "[1]",
            "\"ping_status\"",
        ] {
            assert_eq!(requested_action(ordinary), None, "{ordinary}");
        }
        let payload = r#"{"_agent_core_app_action":"ping_status","prompt":"hi"}"#;
        assert_eq!(requested_action(payload), Some(Value::from("ping_status")));
    }
}
