//! Who a request speaks for, and what they may do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

/// Every agent, where a list of agents is expected.
pub const ALL_AGENTS: &str = "*";

/// What somebody may do to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Begin sessions, and invoke.
    Invoke,
    /// Run commands in sessions of one's own, and stop them. Whoever may invoke may, unless they are a visitor.
    Manage,
    /// Create, update and delete it; read how it is made.
    Administer,
}

/// Which agents a right is about: their names, or `*` for all there are and will be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Agents(BTreeSet<String>);

impl Agents {
    /// Every agent.
    pub fn all() -> Self {
        Self([ALL_AGENTS.to_owned()].into())
    }

    /// Whether the agent of that name is among them.
    pub fn include(&self, agent: &str) -> bool {
        self.0.contains(ALL_AGENTS) || self.0.contains(agent)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<S: Into<String>> FromIterator<S> for Agents {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// What somebody may do. Nothing unless it is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// The agents they may invoke.
    #[serde(default)]
    pub invoke: Agents,
    /// The agents they may create, change and delete.
    #[serde(default)]
    pub administer: Agents,
    /// Whether they look after the host: everything, and everybody's sessions.
    #[serde(default)]
    pub operator: bool,
}

impl Rights {
    /// Everything.
    pub fn operator() -> Self {
        Self { operator: true, ..Self::default() }
    }

    /// To invoke these agents.
    pub fn invoke(agents: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { invoke: agents.into_iter().collect(), ..Self::default() }
    }

    /// Whether they allow nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they allow this.
    pub fn allow(&self, action: Action, agent: &str) -> bool {
        let agents = match action {
            Action::Invoke | Action::Manage => &self.invoke,
            Action::Administer => &self.administer,
        };
        self.operator || agents.include(agent)
    }
}

/// How somebody showed who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// They reached this machine's loopback address, where nobody is asked.
    Local,
    /// They reached it where agents do as well, and showed nothing that an agent could not.
    Visitor,
    /// They signed with an access key.
    Key {
        /// The id of the key.
        id: String,
        /// Whose key it is; several keys may have one owner.
        owner: String,
    },
    /// They brought a token.
    Token {
        /// Who issued it.
        issuer: String,
        /// Whom it was issued to.
        subject: Subject,
    },
}

/// Whom a token was issued to. The names of the two kinds have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Who `sub` names.
    Named(String),
    /// A client that was given a token without a `sub`, by its `client_id`.
    Client(String),
}

/// Who a request speaks for, and what they may do. Cheap to clone.
///
/// Made by this crate alone, from what was verified; a session belongs to the principal that began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    identity: Identity,
    name: Arc<str>,
    rights: Rights,
}

impl Principal {
    pub(crate) fn new(identity: Identity, rights: Rights) -> Self {
        let name = match &identity {
            // Sessions that a visitor begins are there for whoever shows the host's token.
            Identity::Local | Identity::Visitor => "local".into(),
            Identity::Key { owner, .. } => format!("key:{owner}").into(),
            // An issuer is a URL, so the first space ends it, and no two pairs share a name.
            Identity::Token { issuer, subject: Subject::Named(name) } => {
                format!("jwt:{issuer} {name}").into()
            }
            Identity::Token { issuer, subject: Subject::Client(id) } => {
                format!("jwt-client:{issuer} {id}").into()
            }
        };
        Self(Arc::new(Inner { identity, name, rights }))
    }

    /// Whoever may reach the loopback address of this machine: they may do everything.
    pub fn local() -> Self {
        static LOCAL: LazyLock<Principal> =
            LazyLock::new(|| Principal::new(Identity::Local, Rights::operator()));
        LOCAL.clone()
    }

    /// Whoever may reach it where agents may, too: they may invoke, and no more.
    pub fn visitor() -> Self {
        static VISITOR: LazyLock<Principal> =
            LazyLock::new(|| Principal::new(Identity::Visitor, Rights::invoke([ALL_AGENTS])));
        VISITOR.clone()
    }

    /// How they showed who they are.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The name that their sessions are kept under. The same for all keys of one owner.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Whether they may do this to the agent of that name.
    pub fn may(&self, action: Action, agent: &str) -> bool {
        let is_visitor = self.0.identity == Identity::Visitor;
        (action == Action::Invoke || !is_visitor) && self.0.rights.allow(action, agent)
    }

    /// Whether they look after the host.
    pub fn is_operator(&self) -> bool {
        self.0.rights.operator
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_allow_what_they_name_and_nothing_else() {
        let rights = Rights::invoke(["writer"]);
        assert!(rights.allow(Action::Invoke, "writer"));
        assert!(!rights.allow(Action::Invoke, "reader"));
        assert!(!rights.allow(Action::Administer, "writer"));
        assert!(Rights { administer: Agents::all(), ..Rights::default() }.allow(Action::Administer, "any"));
        assert!(Rights::operator().allow(Action::Administer, "any"));
        assert!(!Rights::default().allow(Action::Invoke, "*"));
    }

    #[test]
    fn no_two_identities_share_a_name() {
        let key = |owner: &str| Identity::Key { id: "AKX".into(), owner: owner.into() };
        let token = |issuer: &str, subject: &str| Identity::Token {
            issuer: issuer.into(),
            subject: Subject::Named(subject.into()),
        };
        let client = Identity::Token { issuer: "x".into(), subject: Subject::Client("y".into()) };
        let name = |identity| Principal::new(identity, Rights::default()).name().clone();
        assert_ne!(name(key("local")), *Principal::local().name());
        assert_ne!(name(token("https://a", "b c")), name(token("https://a/b", "c")));
        assert_ne!(name(key("x y")), name(token("x", "y")));
        assert_ne!(name(client), name(token("x", "y")));
        assert!(Principal::local().is_operator());
    }

    #[test]
    fn a_visitor_may_invoke_and_no_more() {
        let visitor = Principal::visitor();
        assert!(visitor.may(Action::Invoke, "any"));
        assert!(!visitor.may(Action::Manage, "any") && !visitor.may(Action::Administer, "any"));
        assert!(!visitor.is_operator());
        // Sessions begun with curl are there for the command, which shows the token.
        assert_eq!(visitor.name(), Principal::local().name());
        assert!(Rights::invoke(["writer"]).allow(Action::Manage, "writer"));
    }
}
