//! One line of the audit log.

use std::borrow::Cow;

use agentcore_protocol::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// One line of the audit log: what somebody asked for, and what became of it. Fields that say
/// nothing are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When it was answered, as in `2026-11-23T22:51:00.123Z`.
    #[serde(with = "calendar")]
    pub time: Timestamp,
    /// For whom: `local`, `key:OWNER`, `jwt:ISSUER SUBJECT` or `shell:USER`. None: nobody who is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The id of the access key that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of the access key that somebody claimed to have, and did not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_key: Option<String>,
    /// From where, as in `192.0.2.7:51234`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What: an operation of AWS's API by its name, one of this host's own, or `Request` for any other.
    pub action: Cow<'static, str>,
    /// The request without its query, as in `POST /invocations`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The agent, or how the request named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The access key that was made or taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about_key: Option<String>,
    /// The length of the command; what it says is a payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_bytes: Option<usize>,
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The exception in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The id that the answer carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How many records were not written, before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl AuditRecord {
    /// What tells that records were lost.
    pub(super) fn lost(count: u64, time: Timestamp) -> Self {
        Self { time, action: "RecordsLost".into(), lost: Some(count), ..Self::default() }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        // A record is made of texts and numbers, which are JSON in any case.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Timestamps as people and other programs read them.
mod calendar {
    use super::{Deserialize, Deserializer, Error, Serializer, Timestamp};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = i64::try_from(time.unix_millis()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        serializer.collect_str(&format_args!("{time:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(Timestamp::from_unix_millis(time.as_millisecond().try_into().unwrap_or_default()))
    }
}
