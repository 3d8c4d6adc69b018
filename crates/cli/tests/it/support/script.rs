//! An agent in one file, for whoever has Python and nothing else.

/// Answers with what it was asked, with `WORD`, and with the headers and variables that it got.
pub(crate) const AGENT: &str = concat!(
    include_str!("answering.py"),
    r#"
WORD = "hello"


class Agent(Answering):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        said = f"{WORD} {self.payload().get('prompt')}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.answer({"said": said, "mode": os.environ.get("MODE"), "headers": headers})


Agent.serve("127.0.0.1")
"#
);

/// The module of what such agents have in common, for agents that import it.
pub(crate) const ANSWERING: &str = include_str!("answering.py");

/// The same agent, with its word from a module.
pub(crate) fn with_word_of(module: &str) -> String {
    AGENT.replace("WORD = \"hello\"", &format!("from {module} import WORD"))
}
