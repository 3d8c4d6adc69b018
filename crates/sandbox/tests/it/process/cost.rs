//! What the walls cost: `cargo test -p agentcore-sandbox --test it cost -- --ignored --nocapture`.

#![allow(unsafe_code, reason = "an agent takes over a descriptor by its number")]

use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use agentcore_sandbox::SandboxSpec;
use tokio::time::Instant;

use crate::bench::{Agent, Bench, Processes, ask, kill, standing};

const STARTS: usize = 15;
const QUESTIONS: usize = 400;

/// No test by itself: an agent written in Rust.
#[test]
#[ignore = "it is the agent that is measured"]
fn as_an_agent() {
    if std::env::var_os("LISTEN_FDS").is_none() {
        return;
    }
    // SAFETY: the sandbox hands over a listening socket by this number, and nobody else takes it.
    let door = unsafe { UnixListener::from_raw_fd(3) };
    for mut connection in door.incoming().filter_map(Result::ok) {
        let mut word = [0; 100];
        let read = connection.read(&mut word).unwrap_or(0);
        let _ = connection.write_all(&word[..read]);
    }
}

fn rust(bench: &Processes) -> SandboxSpec {
    let program = std::env::current_exe().unwrap();
    let test = ["--ignored", "--exact", "process::cost::as_an_agent"];
    bench.program(program.to_str().unwrap(), &test)
}

fn python(bench: &Processes) -> SandboxSpec {
    bench.spec(Agent::Counts)
}

/// From the order to the first answer, and a question once it runs.
async fn measure(bench: &Processes, spec: &SandboxSpec, questions: usize) -> (Duration, Vec<Duration>) {
    let begun = Instant::now();
    let sandbox = bench.run(spec).await;
    ask(&*sandbox, "first").await;
    let start = begun.elapsed();
    let mut asked = Vec::with_capacity(questions);
    for _ in 0..questions {
        let begun = Instant::now();
        ask(&*sandbox, "again").await;
        asked.push(begun.elapsed());
    }
    kill(&*sandbox).await;
    (start, asked)
}

fn median(mut values: Vec<Duration>) -> f64 {
    values.sort();
    values[values.len() / 2].as_secs_f64() * 1e3
}

/// Both kinds by turns, so that whatever else the machine does strikes both.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_walls_cost() {
    let (plain, walled) = (Processes::behind([].into()), Processes::behind(standing()));
    for (name, spec) in [("Python", python as fn(&Processes) -> SandboxSpec), ("Rust", rust)] {
        let mut starts = [Vec::new(), Vec::new()];
        let mut asked = [Vec::new(), Vec::new()];
        for _ in 0..STARTS {
            for (kind, bench) in [&plain, &walled].into_iter().enumerate() {
                let (start, answers) = measure(bench, &spec(bench), QUESTIONS / STARTS).await;
                starts[kind].push(start);
                asked[kind].extend(answers);
            }
        }
        let [plain_start, walled_start] = starts.map(median);
        let [plain_asked, walled_asked] = asked.map(median);
        println!(
            "{name}: start to first answer {plain_start:.1} ms plain, {walled_start:.1} ms walled ({:+.1} ms); \
             a question {plain_asked:.3} ms plain, {walled_asked:.3} ms walled ({:+.1} %)",
            walled_start - plain_start,
            (walled_asked / plain_asked - 1.0) * 100.0
        );
    }
}
