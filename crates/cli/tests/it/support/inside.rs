//! What an agent for tests can be asked to try from inside its session, without any help.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a try may take. What is refused is refused at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries what the payload says: to `send` bytes to an address, or to `read` a file.
pub(super) fn attempt(payload: &Value) -> Value {
    let outcome = match (payload["send"].as_str(), payload["read"].as_str()) {
        (Some(request), _) => send(payload["to"].as_str().unwrap_or_default(), request),
        (None, Some(file)) => std::fs::read_to_string(file),
        (None, None) => return Value::Null,
    };
    match outcome {
        Ok(got) => json!({ "got": got }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// The beginning of what comes back.
fn send(to: &str, request: &str) -> std::io::Result<String> {
    let address: SocketAddr = to.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // As much as there is: a stream that is cut short says enough.
    let _ = stream.take(4096).read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
