//! The document agent's program: an index folder, the agent over it, and a server.

use std::io::Write;

use document_agent::library::{IndexFolder, Library};
use document_agent::{agent, hints};

fn main() -> anyhow::Result<()> {
    // Held until the end: a temporary folder goes with it.
    let folder = IndexFolder::from_environment()?;
    let library = Library::open(folder.path())?;
    if let Some(port) = hints::announced_port() {
        // Nobody may be reading; that is no reason not to serve.
        let _ = writeln!(std::io::stderr(), "{}", hints::curl_lines(port));
    }
    agent::app(library).run()?;
    Ok(())
}
