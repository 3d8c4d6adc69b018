//! nginx as a plain reverse proxy, told to hold nothing back.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use procfs::process::Process;

use super::gentle::Gentle;
use crate::children::{Program, free_port};

/// Where Debian puts it, and where others do.
const PROGRAMS: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/bin/nginx"];

/// A running nginx with one port for each of some sockets.
pub(super) struct Nginx {
    server: Gentle,
    addresses: Vec<SocketAddr>,
}

/// The program, if it is there.
pub(super) fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|path| Path::new(path).exists())
}

impl Nginx {
    /// Starts nginx before these sockets; its own files are in `folder`.
    pub(super) async fn start(program: &str, folder: &Path, sockets: &[PathBuf]) -> anyhow::Result<Self> {
        let mut addresses = Vec::new();
        let mut servers = String::new();
        for (n, socket) in sockets.iter().enumerate() {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            servers.push_str(&server(n, address, socket));
            addresses.push(address);
        }
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration(folder, &servers))?;
        let arguments = ["-p".as_ref(), folder.as_os_str(), "-c".as_ref(), file.as_os_str()];
        let port = addresses.last().context("there is nothing to serve")?.port();
        let server = Gentle::start(&Program::other(program, arguments), port).await?;
        Ok(Self { server, addresses })
    }

    /// Where the socket with this number is served.
    pub(super) fn address(&self, n: usize) -> SocketAddr {
        self.addresses[n]
    }

    /// The process that does the work.
    pub(super) fn worker(&self) -> anyhow::Result<u32> {
        let master = Process::new(self.server.pid().cast_signed())?;
        let children = master.task_main_thread()?.children()?;
        children.first().copied().context("nginx has no worker")
    }
}

fn configuration(folder: &Path, servers: &str) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("  {what}_temp_path {folder}/nginx-{what};\n"))
        .collect();
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  client_max_body_size 0;\n  keepalive_requests 1000000000;\n{temporary}{servers}}}\n"
    )
}

fn server(n: usize, address: SocketAddr, socket: &Path) -> String {
    let socket = socket.display();
    format!(
        "  upstream agent{n} {{ server unix:{socket}; keepalive 64; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen {address};\n    location / {{\n      proxy_pass http://agent{n};\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_buffering off;\n\
         \x20     proxy_request_buffering off;\n    }}\n  }}\n"
    )
}
