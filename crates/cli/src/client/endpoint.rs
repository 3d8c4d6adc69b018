//! Where the host is.

use std::path::Path;

use agentcore_protocol::agent::DEFAULT_PORT;
use agentcore_runtime::HostRecord;
use http::Uri;

use super::error::ClientError;

/// The address of a host, `http://authority` or `https://authority`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    /// Takes the address from a text.
    pub(crate) fn parse(text: &str) -> Result<Self, ClientError> {
        let refused =
            |reason: &str| ClientError::Endpoint { text: text.to_owned(), reason: reason.to_owned() };
        let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| refused(&error.to_string()))?;
        match (uri.scheme_str(), uri.authority(), uri.path()) {
            (Some(scheme @ ("http" | "https")), Some(authority), "" | "/") => {
                Ok(Self(format!("{scheme}://{authority}")))
            }
            (Some("http" | "https"), Some(_), _) => Err(refused("it has a path")),
            _ => Err(refused("it does not begin with http:// or https://")),
        }
    }

    /// The host that runs in one of these state folders, the first that says so.
    pub(crate) fn discover<'a>(states: impl IntoIterator<Item = &'a Path>) -> Option<Self> {
        states.into_iter().find_map(|state| Self::parse(&HostRecord::read(state)?.url).ok())
    }

    /// A service of AWS's own in a region.
    pub(crate) fn of_aws(service: &str, region: &str) -> Result<Self, ClientError> {
        Self::parse(&format!("https://{service}.{region}.amazonaws.com"))
    }

    /// The address when nothing says otherwise.
    pub(crate) fn default_local() -> Self {
        Self::local(DEFAULT_PORT)
    }

    /// A port of this machine.
    pub(crate) fn local(port: u16) -> Self {
        Self(format!("http://127.0.0.1:{port}"))
    }

    /// Whether it is reached with TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Whether both are the same port of this machine, whatever they call it.
    pub(crate) fn is_same_host(&self, other: &Self) -> bool {
        let plain = |address: &str| address.replace("//localhost", "//127.0.0.1");
        plain(&self.0) == plain(&other.0)
    }

    /// The address as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use agentcore_runtime::HOST_RECORD_FILE;

    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_no_path() {
        for (text, address) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost/", "http://localhost"),
            ("http://[::1]:9", "http://[::1]:9"),
            ("https://agents.example.com", "https://agents.example.com"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().as_str(), address);
        }
        for text in ["ftp://x", "localhost:8080", "http://x/y", "", "http://"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_host_that_says_where_it_is_is_found() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let record = r#"{"url":"http://127.0.0.1:9999","pid":1,"started_at":0}"#;
        std::fs::write(full.path().join(HOST_RECORD_FILE), record).unwrap();
        let found = Endpoint::discover([empty.path(), full.path()]);
        assert_eq!(found, Some(Endpoint::local(9999)));
        assert_eq!(Endpoint::discover([empty.path()]), None);
    }
}
