//! Follows an invocation: its items as they come, over as many connections as it takes.

use std::process::ExitCode;

use http::{HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;

use super::{end, print_answer};
use crate::client::patience::Patience;
use crate::client::sse::EventReader;
use crate::client::work::{Answer, Invocation};
use crate::client::{ClientError, HostClient};
use crate::commands::answer::{logs_hint, stream_error};
use crate::commands::verdict::Verdict;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The name of the host's last event, which has no number.
const END: &str = "end";

/// Where the reader is.
#[derive(Default)]
struct Place {
    last_id: Option<String>,
    last_item: Option<String>,
    patience: Patience,
}

/// Prints each item once, however often the connection drops, and the whole of an answer that is no
/// stream.
pub(super) async fn run(path: &str, context: &Context) -> anyhow::Result<ExitCode> {
    let mut place = Place::default();
    let found = loop {
        match read(&context.host(), path, &mut place).await {
            Ok(ended) => break ended,
            Err(error) => place.patience.bear(error.downcast::<ClientError>()?).await?,
        }
    };
    if !found.answer.as_ref().is_some_and(Answer::is_event_stream) {
        print_answer(path, &found, context).await?;
    } else if let Some(error) = place.last_item.as_deref().and_then(stream_error) {
        let failure = Failure::new(format!("the agent failed in mid-stream: {error}"));
        let hint = logs_hint(Some(&found.agent), Some(&found.session_id));
        return Ok(Verdict::Failed.told(failure.hint(hint)));
    }
    Ok(end(&found))
}

/// Prints what comes after the place, and returns what became of the invocation.
async fn read(client: &HostClient, path: &str, place: &mut Place) -> anyhow::Result<Invocation> {
    let mut request = client.own_request(Method::GET, &format!("{path}/events"), &[])?;
    if let Some(last) = place.last_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
        request.headers_mut().insert(LAST_EVENT_ID, last);
    }
    let response = client.send(request).await?;
    if !response.status().is_success() {
        return Err(client.refused(response).await.into());
    }
    place.patience.restore();
    let mut body = response.into_body();
    let mut reader = EventReader::default();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|_| ClientError::CutShort)?.into_data() else { continue };
        for event in reader.events(&bytes) {
            if event.id.is_none() && event.name.as_deref() == Some(END) {
                return Ok(serde_json::from_str(&event.data)?);
            }
            output::bytes(format!("{}\n", event.data).as_bytes())?;
            place.last_id = event.id.or(place.last_id.take());
            place.last_item = Some(event.data);
        }
        if let Some(id) = reader.last_id() {
            place.last_id = Some(id.to_owned());
        }
    }
    // The host says when it is over.
    Err(ClientError::CutShort.into())
}
