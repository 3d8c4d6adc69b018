//! Who may call.
//!
//! A request is let in by a [`Gate`](gate::Gate), which says which [`Principal`] it speaks for. It
//! knows two ways for a caller to show who they are, and never takes both for one agent:
//!
//! | module | what it holds |
//! |---|---|
//! | [`sigv4`] | AWS's signatures: what boto3 and every other AWS client sends |
//! | [`keys`] | the access keys that such signatures are made with, and where they are kept |
//! | [`jwt`] | tokens of an identity provider, as `customJWTAuthorizer` describes them |
//! | [`gate`] | which of it a request needs, and bodies that must be checked before they are used |
//!
//! Nothing in here knows the host. Time comes from the clock that is passed in; of the outside world
//! this crate reads the files of access keys, and fetches what issuers publish.

pub mod gate;
pub mod jwt;
pub mod keys;
mod principal;
mod refusal;
pub mod sigv4;
mod trust;

pub use principal::{ALL_AGENTS, Action, Agents, Identity, Principal, Rights, Subject};
pub use refusal::Refusal;
pub use trust::{Trust, TrustError};
