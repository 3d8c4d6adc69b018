//! Ids, validated when they are made: who holds one need not check it again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of a session: 33 to 256 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(Arc<str>);

/// Why a text is no session id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionId {
    /// Too short or too long.
    #[error("a session id has 33 to 256 characters, this one has {0}: use a UUID, or make it longer")]
    Length(usize),
    /// A blank, a control character, or something that is not ASCII.
    #[error("a session id holds visible ASCII characters only, this one has {0:?}")]
    Character(char),
}

impl SessionId {
    /// Fewest characters.
    pub const MIN_LENGTH: usize = 33;
    /// Most characters.
    pub const MAX_LENGTH: usize = 256;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(InvalidSessionId::Character(bad));
        }
        if !(Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.len()) {
            return Err(InvalidSessionId::Length(text.len()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.as_str().to_owned()
    }
}

impl From<Uuid> for SessionId {
    /// The hyphenated form of a UUID has 36 characters, and so is always a session id.
    fn from(uuid: Uuid) -> Self {
        Self(uuid.hyphenated().to_string().into())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind} id: {expected}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    expected: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "Uuid", into = "Uuid")]
        pub struct $name(Uuid);

        impl $name {
            /// The UUID behind the id.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl TryFrom<Uuid> for $name {
            type Error = InvalidId;

            fn try_from(uuid: Uuid) -> Result<Self, Self::Error> {
                let accepts: fn(&Uuid) -> bool = $accepts;
                if accepts(&uuid) {
                    Ok(Self(uuid))
                } else {
                    Err(InvalidId { kind: $kind, text: uuid.to_string(), expected: $expected })
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text)
                    .map_err(|_| InvalidId { kind: $kind, text: text.to_owned(), expected: $expected })?
                    .try_into()
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

uuid_id! {
    /// One request to a session's entrypoint. A UUID of version 7, so that ids sort by time.
    InvocationId, "invocation", "expected a UUID of version 7", |uuid| uuid.get_version_num() == 7
}

uuid_id! {
    /// One life of a session id, from a start to a stop with a reason. Any UUID but the nil one.
    IncarnationId, "incarnation", "expected a UUID", |uuid| !uuid.is_nil()
}

/// A background task within one agent process: a positive integer below 2^53, which every JSON
/// reader keeps exactly, JavaScript's included.
///
/// Outside its process a task is named together with its incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct TaskId(u64);

impl TaskId {
    /// The first number that is too large.
    pub const END: u64 = 1 << 53;

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The id that `random` stands for; every number stands for one.
    pub const fn from_random(random: u64) -> Self {
        Self(random % (Self::END - 1) + 1)
    }
}

impl TryFrom<u64> for TaskId {
    type Error = InvalidId;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if (1..Self::END).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidId { kind: "task", text: number.to_string(), expected: TASK_ID_FORM })
        }
    }
}

const TASK_ID_FORM: &str = "expected a whole number from 1 to 9007199254740991";

impl FromStr for TaskId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u64>()
            .map_err(|_| InvalidId { kind: "task", text: text.to_owned(), expected: TASK_ID_FORM })?
            .try_into()
    }
}

impl From<TaskId> for u64 {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session_id_that_is_too_short_is_told_what_would_do() {
        let error = "abc".parse::<SessionId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "a session id has 33 to 256 characters, this one has 3: use a UUID, or make it longer"
        );
    }

    #[test]
    fn a_session_id_holds_no_blanks_controls_or_other_alphabets() {
        for bad in [' ', '\n', '\u{7f}', 'é'] {
            let text = format!("{}{bad}", "x".repeat(40));
            assert_eq!(text.parse::<SessionId>(), Err(InvalidSessionId::Character(bad)));
        }
    }

    #[test]
    fn an_invocation_id_is_a_uuid_of_version_7() {
        let v4 = "5f3a9c3e-6d5b-4e0a-9a57-2a7b8d6f1c11";
        assert!(v4.parse::<InvocationId>().is_err());
        assert!(v4.parse::<IncarnationId>().is_ok());
        let v7 = "0190163d-8694-739b-aea5-966c26f8ad91";
        assert_eq!(v7.parse::<InvocationId>().unwrap().to_string(), v7);
    }

    proptest! {
        #[test]
        fn visible_ascii_of_the_right_length_is_a_session_id(text in "[!-~]{33,256}") {
            let id: SessionId = text.parse().unwrap();
            prop_assert_eq!(id.as_str(), &text);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<SessionId>(&json).unwrap(), id);
        }

        #[test]
        fn every_random_number_makes_a_task_id_that_javascript_keeps(random: u64) {
            let id = TaskId::from_random(random);
            prop_assert_eq!(id.get() as f64 as u64, id.get());
            prop_assert_eq!(TaskId::try_from(id.get()).unwrap(), id);
            prop_assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = text.parse::<SessionId>();
            let _ = text.parse::<InvocationId>();
            let _ = text.parse::<TaskId>();
        }
    }
}
