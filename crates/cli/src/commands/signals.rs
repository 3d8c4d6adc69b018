//! The signals that ask a host to end.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::output;

/// What a shell reports of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Waits for the first signal that asks the program to end; from then on a second one ends it at
/// once.
pub(super) async fn asked_to_end(mut signals: Signals, message: &str) {
    signals.next().await;
    output::note(message);
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(INTERRUPTED);
    });
}

/// The signals that ask a program to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes hold of SIGINT and SIGTERM. Before a host starts, so that none is missed.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: None })
    }

    /// Takes hold of SIGHUP too, for what should end with its terminal.
    pub(super) fn and_hangup(mut self) -> anyhow::Result<Self> {
        self.hangup = Some(signal(SignalKind::hangup()).context("cannot listen for signals")?);
        Ok(self)
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}
