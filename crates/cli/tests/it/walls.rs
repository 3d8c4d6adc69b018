//! What is asked of the walls between sessions.

use std::ffi::OsString;
use std::fs::read_link;
use std::process::Command;

use agentcore_sandbox::{ProcessOptions, Wall, Walls};

use crate::support::{Done, Project, agentcore, session_id};

/// The walls of this machine, if these are among them. `None` skips a test, but never in CI.
pub(crate) fn standing(needed: &[Wall]) -> Option<Walls> {
    let init = vec![OsString::from(agentcore()), OsString::from("__init")];
    let report = ProcessOptions::new(init).probe().unwrap();
    let stand = needed.iter().all(|wall| report.standing.contains(wall));
    assert!(stand || std::env::var("CI").as_deref() != Ok("true"), "{needed:?} must stand: {report}");
    if !stand {
        println!("skipped: of {needed:?} not all stand here: {report}");
    }
    stand.then_some(report.standing)
}

#[tokio::test]
async fn by_default_and_with_none_an_agent_has_a_network_of_its_own_and_answers() {
    if standing(&[Wall::Network]).is_none() {
        return;
    }
    for options in [&[][..], &["--network", "none"]] {
        assert!(!shares_network(options).await, "{options:?}");
    }
}

#[tokio::test]
async fn an_agent_shares_the_network_where_that_is_said() {
    assert!(shares_network(&["--network", "host"]).await);
}

/// Whether an agent of a host with these options is on this machine's network.
async fn shares_network(options: &[&str]) -> bool {
    let project = Project::with_test_agent(&[]).await;
    let host = project.launch(options).await;
    project.invoke(&session_id("alone"), "{}").await;
    let agent = project.processes().into_iter().find(|one| one.is_test_agent()).unwrap();
    let network = read_link(format!("/proc/{}/ns/net", agent.pid)).unwrap();
    host.interrupt().await;
    project.expect_no_processes().await;
    network == read_link("/proc/self/ns/net").unwrap()
}

#[tokio::test]
async fn a_host_that_must_have_every_wall_does_not_share_its_network() {
    let project = Project::with_test_agent(&[]).await;
    let refused =
        project.run(&["serve", "--state", ".agentcore", "--network", "host", "--require-walls"]).await;
    assert!(!refused.success());
    // Either a wall is missing on this machine, or none is and the network is shared.
    let told = ["not all walls stand: ", "agents share this machine's network"];
    assert!(told.iter().any(|words| refused.stderr.contains(words)), "{}", refused.stderr);
}

/// Runs what follows where nobody may make namespaces.
const WITHOUT_NAMESPACES: [&str; 7] = [
    "--user",
    "--map-root-user",
    "--",
    "/bin/sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"",
    "sh",
];

#[tokio::test]
async fn where_namespaces_cannot_be_made_a_host_that_must_have_every_wall_says_what_to_do() {
    let project = Project::with_test_agent(&[]).await;
    let Some(limited) = without_namespaces(&project, &["serve", "--state", ".agentcore", "--require-walls"])
    else {
        return;
    };
    assert!(!limited.success(), "it serves");
    for words in ["not all walls stand", "user, pid, mount", "hint: allow namespaces", "agentcore doctor"] {
        assert!(limited.stderr.contains(words), "{words}: {}", limited.stderr);
    }
    assert!(!project.path().join(".agentcore/host.json").exists());

    let told = without_namespaces(&project, &["doctor"]).unwrap().stdout;
    for words in ["user, pid, mount", "So agents are the user that the host is", "-> allow namespaces"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// `None`: there is no such place on this machine.
fn without_namespaces(project: &Project, arguments: &[&str]) -> Option<Done> {
    let unshared = |program: &[&str]| {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(WITHOUT_NAMESPACES).args(program).current_dir(project.path());
        Done::from(command.output().unwrap())
    };
    let can = unshared(&["true"]);
    assert!(can.success() || std::env::var("CI").as_deref() != Ok("true"), "{can:?}");
    if !can.success() {
        println!("skipped: unshare cannot make a user namespace here: {can:?}");
        return None;
    }
    Some(unshared(&[&[agentcore()], arguments].concat()))
}

#[tokio::test]
async fn the_doctor_says_which_walls_stand() {
    let project = Project::new();
    let told = project.run(&["doctor"]).await;
    assert!(told.stdout.contains("walls"), "{}{}", told.stdout, told.stderr);
}
