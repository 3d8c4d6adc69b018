//! What to try, for whoever started the agent in a terminal.

/// The port that the agent will bind, as far as it is known beforehand: not when a socket is
/// handed over, nor when the system is to choose one.
pub fn announced_port() -> Option<u16> {
    if std::env::var_os("LISTEN_FDS").is_some() {
        return None;
    }
    match std::env::var("PORT") {
        Ok(text) if !text.is_empty() => text.parse().ok().filter(|&port| port != 0),
        _ => Some(8080),
    }
}

/// The curl lines to try in another terminal, for an agent on `port` of this machine.
pub fn curl_lines(port: u16) -> String {
    let ping = format!("curl http://localhost:{port}/ping");
    let invoke = |payload: &str| {
        format!(
            "curl -X POST http://localhost:{port}/invocations -H 'Content-Type: application/json' -d '{payload}'"
        )
    };
    let lines = [
        (
            "Index the sources of the crates that cargo keeps, in the background",
            invoke(r#"{"prompt": "start a background task"}"#),
        ),
        ("The same for a folder of yours", invoke(r#"{"action": "index", "path": "/usr/share/doc"}"#)),
        ("HealthyBusy while the task runs, then Healthy", ping),
        ("How far it is, and its result once it has ended", invoke(r#"{"action": "progress"}"#)),
        (
            "Search, also while the index is being built",
            invoke(r#"{"action": "search", "query": "spawn_blocking", "limit": 5}"#),
        ),
        ("Stop it", invoke(r#"{"action": "cancel", "task_id": 123}"#)),
    ];
    let lines = lines.map(|(what, line)| format!("# {what}\n{line}\n"));
    format!("Try in another terminal:\n\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_port_and_every_payload_is_understood() {
        let text = curl_lines(9123);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("curl ")).collect();
        assert_eq!(lines.len(), 6);
        for line in lines {
            assert!(line.contains("http://localhost:9123/"), "{line}");
            if let Some((_, rest)) = line.split_once("-d '") {
                let payload = serde_json::from_str(rest.strip_suffix('\'').unwrap()).unwrap();
                crate::request::Request::parse(payload).unwrap();
            }
        }
    }
}
