//! Where to listen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use agentcore_protocol::agent::{DEFAULT_PORT, env};
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use {agentcore_sandbox::UnixIo, tokio::net::UnixListener};

use crate::error::ServeError;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
}

pub(super) enum Accepted {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixIo),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole: there is nothing to wait for. A client that has left
                // already is found out soon enough.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Unix(UnixIo::new(stream.into_std()?)?))
            }
        }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "http://{address}"),
                Err(_) => f.write_str("a TCP socket"),
            },
            #[cfg(unix)]
            Self::Unix(listener) => match listener.local_addr() {
                Ok(address) if address.as_pathname().is_some() => {
                    write!(f, "unix:{}", address.as_pathname().unwrap_or(Path::new("")).display())
                }
                _ => f.write_str("a Unix socket"),
            },
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// What the code, if anything, says of where to listen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: Option<u16>,
}

/// Takes the socket that was handed over (`LISTEN_FDS`), else binds the port named in the code,
/// else `PORT`, else 8080; on loopback, or on every address within a container.
pub(crate) async fn bind(place: Place) -> Result<Listener, ServeError> {
    if let Some(listener) = handed_over().map_err(ServeError::HandedOverSocket)? {
        return Ok(listener);
    }
    let address = address(place, std::env::var(env::PORT).ok(), in_container())?;
    let bound = TcpListener::bind(address).await;
    bound.map(Listener::Tcp).map_err(|source| ServeError::Bind { address: address.to_string(), source })
}

fn address(place: Place, port: Option<String>, in_container: bool) -> Result<SocketAddr, ServeError> {
    let port = match (place.port, port) {
        (Some(port), _) => port,
        (None, Some(text)) if !text.is_empty() => text.parse().map_err(|_| ServeError::InvalidPort(text))?,
        _ => DEFAULT_PORT,
    };
    let everywhere_or_loopback = if in_container { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    Ok(SocketAddr::new(place.host.unwrap_or(everywhere_or_loopback.into()), port))
}

fn in_container() -> bool {
    Path::new("/.dockerenv").exists() || std::env::var_os(env::DOCKER_CONTAINER).is_some()
}

fn handed_over() -> io::Result<Option<Listener>> {
    // `LISTEN_PID` is honoured in there: a socket meant for another process is none.
    let mut sockets = ListenFd::from_env();
    if sockets.len() == 0 {
        return Ok(None);
    }
    #[cfg(unix)]
    if let Ok(Some(listener)) = sockets.take_unix_listener(0) {
        listener.set_nonblocking(true)?;
        return Ok(Some(Listener::Unix(UnixListener::from_std(listener)?)));
    }
    let Some(listener) = sockets.take_tcp_listener(0)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    Ok(Some(Listener::Tcp(TcpListener::from_std(listener)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(place: Place, port: Option<&str>, in_container: bool) -> Result<String, String> {
        address(place, port.map(str::to_owned), in_container)
            .map(|address| address.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_port_in_the_code_comes_before_the_environments_and_that_before_8080() {
        let in_code = Place { port: Some(9000), host: None };
        assert_eq!(chosen(in_code, Some("9001"), false), Ok("127.0.0.1:9000".into()));
        assert_eq!(chosen(Place::default(), Some("9001"), false), Ok("127.0.0.1:9001".into()));
        assert_eq!(chosen(Place::default(), Some(""), false), Ok("127.0.0.1:8080".into()));
        assert_eq!(chosen(Place::default(), None, false), Ok("127.0.0.1:8080".into()));
    }

    #[test]
    fn within_a_container_every_address_is_bound_unless_the_code_names_one() {
        assert_eq!(chosen(Place::default(), None, true), Ok("0.0.0.0:8080".into()));
        let host = Place { host: Some(Ipv4Addr::LOCALHOST.into()), port: None };
        assert_eq!(chosen(host, None, true), Ok("127.0.0.1:8080".into()));
    }

    #[test]
    fn a_port_that_is_none_is_named_in_the_error() {
        let error = chosen(Place::default(), Some("http"), false).unwrap_err();
        assert_eq!(error, "the environment variable PORT is \"http\": expected a number from 0 to 65535");
    }
}
