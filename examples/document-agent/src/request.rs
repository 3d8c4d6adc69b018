//! What can be asked of the agent.

use bedrock_agentcore::TaskId;
use serde::Deserialize;
use serde_json::Value;

/// Most hits that one search answers with.
pub const MAX_LIMIT: usize = 50;

/// A payload that was understood.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Index a folder in the background.
    Index {
        /// Which; without it, the sources of the crates that cargo keeps.
        path: Option<String>,
    },
    /// How far the tasks are, and what the ended ones came to.
    Progress {
        /// Of this task alone.
        task_id: Option<TaskId>,
    },
    /// Search what is indexed so far.
    Search {
        /// Words; `"an exact phrase"`; `-without`.
        query: String,
        /// Most hits, from 1 to [`MAX_LIMIT`].
        #[serde(default = "default_limit")]
        limit: usize,
    },
    /// Stop a task.
    Cancel {
        /// Which.
        task_id: TaskId,
    },
    /// What is in the index, and whether a task is at work.
    Status {},
}

/// A payload that was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}; send {{\"action\": ...}} with `index` (path), `progress` (task_id), `search` (query, limit), `cancel` (task_id) or `status`, or a {{\"prompt\": ...}}"
)]
pub struct RequestError {
    reason: String,
}

fn default_limit() -> usize {
    10
}

impl Request {
    /// Understands a payload: an action, or a prompt.
    ///
    /// # Errors
    /// It is neither, or the action is unknown, or a field is missing or of the wrong kind.
    pub fn parse(payload: Value) -> Result<Self, RequestError> {
        let refused = |reason: String| RequestError { reason };
        match &payload {
            Value::Object(fields) if fields.contains_key("action") => {
                let request = serde_json::from_value(payload).map_err(|error| refused(error.to_string()))?;
                match request {
                    Self::Search { limit, .. } if !(1..=MAX_LIMIT).contains(&limit) => {
                        Err(refused(format!("`limit` is {limit}, and must be from 1 to {MAX_LIMIT}")))
                    }
                    request => Ok(request),
                }
            }
            Value::Object(fields) => match fields.get("prompt") {
                Some(Value::String(prompt)) => Ok(Self::from_prompt(prompt)),
                Some(_) => Err(refused("`prompt` is no text".into())),
                None => Err(refused("the payload has neither `action` nor `prompt`".into())),
            },
            _ => Err(refused("the payload is no JSON object".into())),
        }
    }

    /// What stands in for a language model here: "start ..." and "index ..." start to index the
    /// default folder, any other prompt searches for its words.
    fn from_prompt(prompt: &str) -> Self {
        let first = prompt.split_whitespace().next().unwrap_or_default();
        if ["start", "index"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            Self::Index { path: None }
        } else {
            Self::Search { query: prompt.to_owned(), limit: default_limit() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reason(payload: Value) -> String {
        Request::parse(payload).unwrap_err().reason
    }

    #[test]
    fn a_prompt_starts_to_index_or_searches_for_its_words() {
        for prompt in ["start a background task", "Start processing", "index"] {
            assert_eq!(Request::parse(json!({"prompt": prompt})), Ok(Request::Index { path: None }));
        }
        let search = Request::Search { query: "who starts a waker?".into(), limit: 10 };
        assert_eq!(Request::parse(json!({"prompt": "who starts a waker?"})), Ok(search));
    }

    #[test]
    fn actions_have_their_defaults() {
        assert_eq!(Request::parse(json!({"action": "index"})), Ok(Request::Index { path: None }));
        assert_eq!(Request::parse(json!({"action": "progress"})), Ok(Request::Progress { task_id: None }));
        assert_eq!(Request::parse(json!({"action": "status"})), Ok(Request::Status {}));
    }

    #[test]
    fn what_is_not_understood_says_why_and_what_to_send() {
        assert!(
            reason(json!({"action": "fly"})).starts_with("unknown variant `fly`, expected one of `index`")
        );
        assert_eq!(reason(json!({"action": "search"})), "missing field `query`");
        assert!(reason(json!({"action": "cancel"})).contains("missing field `task_id`"));
        assert!(reason(json!({"action": "cancel", "task_id": 0})).contains("expected a whole number from 1"));
        assert!(reason(json!({"action": "index", "paht": "x"})).contains("unknown field `paht`"));
        assert!(reason(json!({"action": "search", "query": "x", "limit": 0})).contains("from 1 to 50"));
        assert_eq!(reason(json!({"prompt": 1})), "`prompt` is no text");
        assert_eq!(reason(json!({})), "the payload has neither `action` nor `prompt`");
        assert_eq!(reason(json!([1])), "the payload is no JSON object");
        let shown = Request::parse(json!({})).unwrap_err().to_string();
        assert!(shown.contains(r#"send {"action": ...} with `index` (path)"#), "{shown}");
    }
}
