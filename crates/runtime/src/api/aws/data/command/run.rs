//! From a command that runs to the events of it.

use std::io;
use std::time::Duration;

use agentcore_sandbox::{Execution, ExitStatus};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout};

use super::events::{Chunk, Delta, Status, Text, internal_error};

/// Most bytes in one event.
const PIECE: usize = 16 * 1024;
/// How long to wait for what a command that has ended may have left in its pipes. Something that
/// it started may hold them open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The code of a command that took too long, as that of timeout(1).
const TIMED_OUT: i32 = 124;

type Event = Result<Bytes, io::Error>;

/// Whoever listens has left.
struct Left;

/// Tells all that happens to a command. It is killed when it takes longer than `limit`, and when
/// nobody listens any more.
pub(super) async fn run(execution: Execution, limit: Duration, events: Sender<Event>) {
    let deadline = Instant::now() + limit;
    let told = async {
        tell(&events, Chunk::Start {}.encode()).await?;
        let last = follow(execution, deadline, &events).await?;
        tell(&events, last).await
    };
    tokio::select! {
        told = told => drop(told.ok()),
        () = events.closed() => {}
    }
}

/// Passes on what is written until the command ends. What the last event is.
async fn follow(execution: Execution, deadline: Instant, events: &Sender<Event>) -> Result<Bytes, Left> {
    let Execution { stdout, stderr, mut exit } = execution;
    let written = async {
        tokio::try_join!(pass_on(stdout, Delta::Stdout, events), pass_on(stderr, Delta::Stderr, events))
    };
    let mut written = std::pin::pin!(written);
    let mut all_written = false;
    let ended = loop {
        tokio::select! {
            ended = &mut exit => break ended,
            done = &mut written, if !all_written => {
                done?;
                all_written = true;
            }
            () = sleep_until(deadline) => {
                let stop = Chunk::Stop { exit_code: TIMED_OUT, status: Status::TimedOut };
                return Ok(stop.encode());
            }
        }
    };
    if !all_written && let Ok(done) = timeout(LAST_WORDS, written).await {
        done?;
    }
    Ok(match ended {
        Ok(status) => Chunk::Stop { exit_code: exit_code(status), status: Status::Completed }.encode(),
        Err(error) => internal_error(&format!("nobody knows how the command ended: {error}")),
    })
}

/// As a shell would say it.
fn exit_code(status: ExitStatus) -> i32 {
    match status {
        ExitStatus::Code(code) => code,
        ExitStatus::Signal(signal) => 128 + signal,
    }
}

async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    delta: fn(String) -> Delta,
    events: &Sender<Event>,
) -> Result<(), Left> {
    let mut text = Text::default();
    let mut piece = vec![0; PIECE];
    loop {
        // A pipe that breaks has said all it had to say.
        let read = from.read(&mut piece).await.unwrap_or(0);
        let whole = if read == 0 { text.end() } else { text.push(&piece[..read]) };
        if !whole.is_empty() {
            tell(events, Chunk::Delta(delta(whole)).encode()).await?;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

async fn tell(events: &Sender<Event>, event: Bytes) -> Result<(), Left> {
    events.send(Ok(event)).await.map_err(|_| Left)
}
