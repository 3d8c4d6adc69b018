//! What the command does on its own.

use crate::support::Project;

#[tokio::test]
async fn an_agent_is_configured_listed_and_chosen() {
    let project = Project::new();
    project.file("one.py", "");
    project.file("two.py", "");
    project.configure("one.py", &["-ni", "--idle-timeout", "5"]).await;
    project.configure("two.py", &["-n", "second"]).await;

    let list = project.json(&["configure", "list", "--json"]).await;
    assert_eq!(list[0]["name"], "one");
    assert_eq!(
        list[1],
        serde_json::json!({"name": "second", "default": true, "entrypoint": "two.py", "session_id": null})
    );
    project.expect(&["configure", "set-default", "one"]).await;
    let shown = project.json(&["config", "show", "--json"]).await;
    assert_eq!(shown["default_agent"], "one");
    assert_eq!(shown["agents"][0]["idle_timeout"], 5);
    assert_eq!(shown["agents"][0]["max_lifetime"], 28_800);
    assert_eq!(shown["agents"][0]["limits"]["disk_bytes"], 10_u64 << 30);

    let wrong = project.run(&["configure", "set-default", "third"]).await;
    assert!(!wrong.success() && wrong.stderr.contains("there is one, second"), "{wrong:?}");
}

#[tokio::test]
async fn limits_of_an_agent_are_shown() {
    let project = Project::new();
    project.file("one.py", "");
    project.configure("one.py", &[]).await;
    let path = project.path().join(".bedrock_agentcore.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let limits = "    limits: {memory_bytes: 536870912, disk_bytes: 2147483648}\n    entrypoint:";
    std::fs::write(&path, text.replace("    entrypoint:", limits)).unwrap();
    let shown = project.expect(&["config", "show"]).await;
    assert!(shown.contains("Memory        512 MiB") && shown.contains("Disk          2.0 GiB"), "{shown}");

    std::fs::write(&path, text.replace("    entrypoint:", "    limits: {disk: 1}\n    entrypoint:")).unwrap();
    let refused = project.run(&["config", "show"]).await;
    assert!(!refused.success() && refused.stderr.contains("unknown field `disk`"), "{refused:?}");
}

#[tokio::test]
async fn every_value_of_the_effective_configuration_is_shown_and_defaults_are_marked() {
    let project = Project::new();
    project.file("one.py", "");
    project.configure("one.py", &["--idle-timeout", "60"]).await;
    let path = project.path().join(".bedrock_agentcore.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let said = "    network: none\n    retention: {days: 1}\n    request_header_configuration: \
                {requestHeaderAllowlist: [X-Tenant]}\n    entrypoint:";
    std::fs::write(&path, text.replace("    entrypoint:", said)).unwrap();

    let shown = project.json(&["config", "show", "--json"]).await;
    let agent = &shown["agents"][0];
    let configured = ["protocol", "idle_timeout", "network", "request_headers", "retention"];
    assert_eq!(agent["configured"], serde_json::json!(configured));
    assert_eq!(
        agent["retention"],
        serde_json::json!({"invocations": 10_000, "days": 1.0, "tasks": 10_000, "task_days": 1.0})
    );
    assert_eq!((&agent["network"], &agent["request_headers"][0]), (&"none".into(), &"x-tenant".into()));
    assert_eq!(shown["host"]["listen"], "127.0.0.1:8080");
    assert_eq!(shown["host"]["on_shutdown"], "stop");
    assert_eq!(shown["host"]["timeouts"]["startup"], 120.0);

    let text = project.expect(&["config", "show"]).await;
    for line in [
        "  Idle timeout  60 s\n",
        "  Maximum life  28800 s (default)\n",
        "  Network       none\n",
        "  Keeps         10000 durable invocations, each for 1 d; 10000 tasks, each for 1 d\n",
        "  Processes     1024 (default)\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(text.contains("  timeouts.startup") && text.contains("  limits.sessions"), "{text}");
}

#[tokio::test]
async fn every_error_says_what_to_do() {
    let project = Project::new();
    for (arguments, hint) in [
        (&["launch", "-l"][..], "agentcore configure -e my_agent.py"),
        (&["deploy"], "--endpoint URL"),
        (&["configure"], "name the file to run"),
        (&["configure", "-e", "gone.py"], "name a file or folder that is there"),
        (&["configure", "-e", "gone.py", "-p", "mcp"], "leave --protocol out"),
        (&["invoke", "hi", "--endpoint", "http://127.0.0.1:1"], "agentcore launch -l"),
        (&["sessions", "list", "--endpoint", "ftp://x"], "http://127.0.0.1:8080"),
        (&["status", "--project", "gone"], "there is no folder"),
    ] {
        let done = project.run(arguments).await;
        assert_eq!(done.code, Some(1), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(hint) && done.stdout.is_empty(), "{arguments:?}: {done:?}");
    }
    assert_eq!(project.run(&["invoke"]).await.code, Some(2), "a wrong command line is a case of its own");
}

#[tokio::test]
async fn a_configuration_of_another_shape_is_refused_with_what_to_do() {
    let project = Project::new();
    project.file("one.py", "");
    for text in ["agents: [1, 2]\n", "- 1\n", "agents: {a: {aws: {region: [1]}}}\n", "agents: [\n"] {
        project.file(".bedrock_agentcore.yaml", text);
        for arguments in [&["configure", "list"][..], &["configure", "-e", "one.py", "-n", "a"]] {
            let done = project.run(arguments).await;
            assert_eq!(done.code, Some(1), "{text}{arguments:?}: {done:?}");
            assert!(done.stderr.contains(".bedrock_agentcore.yaml"), "{done:?}");
            assert!(done.stderr.contains("hint: correct it there"), "{done:?}");
        }
        let left = std::fs::read_to_string(project.path().join(".bedrock_agentcore.yaml")).unwrap();
        assert_eq!(left, text, "nothing was written over");
    }
}

#[tokio::test]
async fn destroying_asks_first_and_shows_what_goes() {
    let project = Project::new();
    project.file("one.py", "");
    project.configure("one.py", &[]).await;
    let endpoint = ["--endpoint", "http://127.0.0.1:1"];

    let dry = project.expect(&[&["destroy", "--dry-run"], &endpoint[..]].concat()).await;
    assert!(dry.contains("its configuration in"), "{dry}");
    let refused = project.run(&[&["destroy"], &endpoint[..]].concat()).await;
    assert!(!refused.success() && refused.stderr.contains("--force"), "{refused:?}");
    assert!(project.path().join(".bedrock_agentcore.yaml").exists());
    project.expect(&[&["destroy", "--force"], &endpoint[..]].concat()).await;
    assert!(!project.path().join(".bedrock_agentcore.yaml").exists());
}

#[tokio::test]
async fn the_doctor_tells_what_is_wrong_with_a_project() {
    let project = Project::new();
    project.executable("agent.sh", "#!/bin/sh\n");
    project.configure("agent.sh", &[]).await;
    std::fs::remove_file(project.path().join("agent.sh")).unwrap();
    let done = project.run(&["doctor"]).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stdout.contains("FAIL  agent: agent agent") && done.stdout.contains("-> "), "{done:?}");
}

#[tokio::test]
async fn the_effective_options_of_a_server_are_printed_without_secrets() {
    let project = Project::new();
    project.executable("agent.sh", "#!/bin/sh\n");
    project.configure("agent.sh", &[]).await;
    project.file("host.yaml", "limits: {sessions: 7}\n");
    let serve = ["serve", "--config", "host.yaml", "--state", "s", "--env", "TOKEN=hush", "--print-config"];
    let printed = project.expect(&serve).await;
    assert!(!printed.contains("hush") && printed.contains("TOKEN"), "{printed}");
    let options: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(options["limits"]["sessions"], 7);
    assert_eq!(options["state"], project.path().join("s").to_str().unwrap());

    project.file("host.yaml", "limit: {}\n");
    let wrong = project.run(&serve).await;
    assert!(wrong.stderr.contains("unknown field"), "{wrong:?}");
}

#[tokio::test]
async fn access_keys_are_made_listed_and_taken_back() {
    let project = Project::new();
    let none = project.run(&["keys", "create", "--state", "s"]).await;
    assert!(!none.success() && none.stderr.contains("--operator"), "{none:?}");
    let made = project
        .json(&["keys", "create", "--state", "s", "--invoke", "writer", "--owner", "ci", "--json"])
        .await;
    let (id, secret) = (made["access_key_id"].as_str().unwrap(), made["secret_access_key"].as_str().unwrap());
    assert_eq!((id.len(), secret.len()), (20, 40));
    let list = project.expect(&["keys", "list", "--state", "s"]).await;
    assert!(list.contains(id) && list.contains("invoke writer") && !list.contains(secret), "{list}");
    let list = project.json(&["keys", "list", "--state", "s", "--json"]).await;
    assert_eq!(list[0]["rights"]["invoke"], serde_json::json!(["writer"]));
    project.expect(&["keys", "revoke", id, "--state", "s"]).await;
    let again = project.run(&["keys", "revoke", id, "--state", "s"]).await;
    assert!(!again.success() && again.stderr.contains("agentcore keys list"), "{again:?}");
}
