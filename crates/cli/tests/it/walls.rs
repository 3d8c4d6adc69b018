//! What is asked of the walls between sessions.

use std::ffi::OsString;
use std::fs::read_link;

use agentcore_sandbox::{ProcessOptions, Wall};

use crate::support::{Project, agentcore, session_id};

/// Whether sessions can have networks of their own on this machine.
fn has_networks() -> bool {
    let init = vec![OsString::from(agentcore()), OsString::from("__init")];
    let stands = ProcessOptions::new(init).probe().unwrap().standing.contains(&Wall::Network);
    let message = "sessions cannot have networks of their own here";
    assert!(stands || std::env::var("CI").as_deref() != Ok("true"), "{message}");
    if !stands {
        println!("skipped: {message}");
    }
    stands
}

#[tokio::test]
async fn an_agent_that_is_to_reach_nothing_has_a_network_of_its_own_and_answers() {
    if !has_networks() {
        return;
    }
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(&["--network", "none"]).await;
    project.invoke(&session_id("alone"), "{}").await;
    let agents: Vec<_> = project.processes().into_iter().filter(|one| one.is_test_agent()).collect();
    assert!(!agents.is_empty());
    for agent in agents {
        let network = read_link(format!("/proc/{}/ns/net", agent.pid)).unwrap();
        assert_ne!(network, read_link("/proc/self/ns/net").unwrap());
    }
    host.interrupt().await;
    project.expect_no_processes().await;
}

#[tokio::test]
async fn a_host_that_must_have_every_wall_does_not_share_its_network() {
    let project = Project::with_test_agent(&[]).await;
    let refused = project.run(&["serve", "--state", ".agentcore", "--require-walls"]).await;
    assert!(!refused.success());
    // Either a wall is missing on this machine, or none is and the network is shared.
    let told = ["not all walls stand: ", "agents share this machine's network"];
    assert!(told.iter().any(|words| refused.stderr.contains(words)), "{}", refused.stderr);
}

#[tokio::test]
async fn the_doctor_says_which_walls_stand() {
    let project = Project::new();
    let told = project.run(&["doctor"]).await;
    assert!(told.stdout.contains("walls"), "{}{}", told.stdout, told.stderr);
}
