//! What the host's owner shows on a loopback address that agents reach too.
//!
//! An agent on this machine's own network reaches the host as its owner does. So where there may be one,
//! whoever shows nothing is a visitor: they invoke, as ever, but neither administer nor operate nor run
//! commands nor stop. The owner shows a token that lies in the state folder, which agents cannot see
//! behind their walls; the `agentcore` command does so by itself. An access key does as well.

use std::io;
use std::path::Path;
use std::sync::Arc;

use agentcore_auth::{Identity, Principal};
use axum::http::HeaderMap;
use subtle::ConstantTimeEq;

use crate::host::write_privately;
use crate::session::Manager;

/// Name of the file in the state folder that holds the host's token.
pub const HOST_TOKEN_FILE: &str = "token";
/// The header that shows it.
pub const HOST_TOKEN_HEADER: &str = "agentcore-host-token";

/// The token of a host. It is good until the host ends: whoever takes its address next learns nothing
/// of use from those who show it there.
pub(crate) struct HostToken {
    token: String,
    proof: Arc<str>,
}

impl HostToken {
    /// Makes one, and puts it where the host's owner finds it.
    pub(crate) fn make(state: &Path) -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = state.join(HOST_TOKEN_FILE);
        write_privately(&file, token.as_bytes())?;
        let proof = format!(
            "agents may share this machine's network, so this asks who calls: use the `agentcore` command, send what is \
             in {} in the header {HOST_TOKEN_HEADER}, or sign with an access key (`agentcore keys create`)",
            file.display()
        );
        Ok(Self { token, proof: proof.into() })
    }

    /// What those are told who have to show it.
    pub(crate) fn proof(&self) -> Arc<str> {
        self.proof.clone()
    }

    /// Whom a request speaks for, given whom the gate took it to come from.
    pub(crate) fn judge(&self, caller: Principal, headers: &HeaderMap, manager: &Manager) -> Principal {
        let is_unknown = *caller.identity() == Identity::Local && manager.shares_network();
        if is_unknown && !self.is_shown(headers) { Principal::visitor() } else { caller }
    }

    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(HOST_TOKEN_HEADER);
        shown.is_some_and(|shown| shown.as_bytes().ct_eq(self.token.as_bytes()).into())
    }
}
