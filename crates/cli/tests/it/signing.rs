//! A host that asks everybody who they are, and the commands with a key in their environment.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Done, Project, session_id};

/// A key, and the commands that are signed with it.
struct Caller<'a> {
    project: &'a Project,
    id: String,
    secret: String,
}

impl<'a> Caller<'a> {
    /// Makes a key with these rights, in the files of the host's state.
    async fn with(project: &'a Project, rights: &[&str]) -> Self {
        let create = ["keys", "create", "--state", ".agentcore", "--json"];
        let made = project.json(&[&create, rights].concat()).await;
        let part = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { project, id: part("access_key_id"), secret: part("secret_access_key") }
    }

    async fn run(&self, arguments: &[&str]) -> Done {
        let key = [("AWS_ACCESS_KEY_ID", self.id.clone()), ("AWS_SECRET_ACCESS_KEY", self.secret.clone())];
        self.project.run_with(&key, arguments).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(arguments).await;
        assert!(done.success(), "{arguments:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    }
}

/// A command that was refused says so, and tells nobody's secret.
fn refused(done: &Done, why: &str) {
    assert!(!done.success() && done.stderr.contains(why), "{done:?}");
}

#[tokio::test]
async fn commands_are_signed_with_the_key_of_the_environment() {
    let project = Project::with_test_agent(&["-n", "agent"]).await;
    let operator = Caller::with(&project, &["--operator"]).await;
    let invoker = Caller::with(&project, &["--invoke", "agent"]).await;
    let host = project.serve(&["--require-auth", "--on-shutdown", "stop"]).await;
    let session = session_id("signed");
    let invoke = ["invoke", "{}", "-l", "-s", &session];

    refused(&project.run(&invoke).await, "Missing Authentication Token");
    assert_eq!(invoker.json(&invoke).await["count"], 1);
    assert_eq!(invoker.json(&invoke).await["count"], 2);
    assert_eq!(operator.json(&invoke).await["count"], 1, "a session of its own");

    let listed = operator.json(&["sessions", "list", "--json"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "operators see everybody's: {listed}");
    let shown = operator.json(&["sessions", "show", &session, "--json"]).await;
    assert_eq!(shown["session_id"], session.as_str(), "{shown}");

    let forged = Caller { project: &project, id: invoker.id.clone(), secret: operator.secret.clone() };
    refused(&forged.run(&invoke).await, "signature");
    project.expect(&["keys", "revoke", &invoker.id, "--state", ".agentcore"]).await;
    refused(&invoker.run(&invoke).await, "The security token included in the request is invalid");
    let told = [operator.run(&["sessions"]).await.stdout, project.host_log()].concat();
    assert!(!told.contains(&operator.secret) && !told.contains(&invoker.secret));

    host.end(Signal::SIGTERM).await;
    project.expect_no_processes().await;
}
