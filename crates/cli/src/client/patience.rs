//! Asking again when a host was there and is gone, as when it is restarted.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ClientError, HostClient};
use crate::context::Context;
use crate::output;

/// How long a host may be gone.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// How a command bears with a host that comes and goes.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    gone_since: Option<Instant>,
}

impl Patience {
    /// The host answered.
    pub(crate) fn restore(&mut self) {
        self.gone_since = None;
    }

    /// Waits a while after an error that may pass; gives back one that does not, or has not for long.
    pub(crate) async fn bear(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !error.is_lost() {
            return Err(error);
        }
        let since = *self.gone_since.get_or_insert_with(|| {
            output::note(format_args!("note: {error}; trying again"));
            Instant::now()
        });
        if since.elapsed() > PATIENCE {
            return Err(error);
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

/// Asks until there is an answer. Where the host is, is found out anew each time: it may come back
/// elsewhere.
pub(crate) async fn persistently<T>(
    context: &Context,
    mut ask: impl AsyncFnMut(HostClient) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut patience = Patience::default();
    loop {
        match ask(context.host()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => patience.bear(error).await?,
        }
    }
}
