//! Logs: JSON lines on standard error, each of which reads alone.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use agentcore_protocol::{Clock, SystemClock};
use serde_json::{Map, Value};
use smallvec::SmallVec;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::entrypoint::RequestContext;

/// Writes log lines as JSON to standard error, unless the process has a `tracing` subscriber
/// already. `RUST_LOG` chooses what is logged; without it, `info`, or `debug` when debug is on.
///
/// Serving an app calls this, so that logs simply work; install a subscriber of your own before,
/// and it is left alone. Each line has `timestamp`, `level`, `message`, `logger`, the fields of the
/// event and those of the spans around it, a dotted field `session.id` as `sessionId`.
pub fn init(debug: bool) {
    if tracing::dispatcher::has_been_set() {
        return;
    }
    let (registry, lines) = (tracing_subscriber::registry(), JsonLines::new(SystemClock));
    // Someone else may have been faster: then theirs it is.
    let _ = match EnvFilter::try_from_default_env() {
        Ok(filter) => registry.with(filter).with(lines).try_init(),
        // A bare level costs nothing where `EnvFilter` looks each span up under a lock, several
        // times an invocation.
        Err(_) => {
            let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
            registry.with(level).with(lines).try_init()
        }
    };
}

/// The span that everything logged for one invocation is in.
pub(crate) fn invocation_span(context: &RequestContext) -> Span {
    let span = tracing::info_span!(
        target: "bedrock_agentcore",
        "invocation",
        "request.id" = context.request_id(),
        "session.id" = context.session_id(),
        "trace.id" = tracing::field::Empty,
        "trace.parent_id" = tracing::field::Empty,
        "trace.flags" = tracing::field::Empty,
        "trace.state" = context.trace_state(),
    );
    if let Some(parent) = context.trace_parent() {
        span.record("trace.id", format_args!("{:032x}", parent.trace_id));
        span.record("trace.parent_id", format_args!("{:016x}", parent.parent_id));
        span.record("trace.flags", parent.flags);
    }
    span
}

/// A `tracing` layer that writes each event as one line of JSON to standard error.
///
/// For subscribers of your own: `registry().with(JsonLines::default())`.
pub struct JsonLines<C = SystemClock> {
    clock: C,
}

impl Default for JsonLines {
    fn default() -> Self {
        Self::new(SystemClock)
    }
}

impl<C: Clock> JsonLines<C> {
    /// A layer whose timestamps come from `clock`.
    pub fn new(clock: C) -> Self {
        Self { clock }
    }

    fn line<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> Map<String, Value>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        line.insert("timestamp".into(), timestamp(self.clock.now()).into());
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("message".into(), fields.take("message").unwrap_or_default());
        line.insert("logger".into(), metadata.target().replace("::", ".").into());
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(inherited)) = span.extensions().get::<Fields>() {
                for (name, value) in inherited {
                    line.entry(camel_case(name)).or_insert_with(|| value.clone());
                }
            }
        }
        if *metadata.level() == Level::ERROR
            && let (Some(file), Some(number)) = (metadata.file(), metadata.line())
        {
            line.insert("location".into(), format!("{file}:{}:{number}", metadata.target()).into());
        }
        line.extend(fields.0.into_iter().map(|(name, value)| (camel_case(name), value)));
        line
    }
}

impl<S, C> Layer<S> for JsonLines<C>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    C: Clock + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = serde_json::to_vec(&self.line(event, &context)).unwrap_or_default();
        line.push(b'\n');
        // One write a line, so that lines of several threads do not mix. With standard error
        // gone there is nobody left to tell.
        let _ = std::io::stderr().lock().write_all(&line);
    }
}

fn timestamp(now: agentcore_protocol::Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(now.unix_millis() as i64).unwrap_or_default();
    format!("{instant:.3}")
}

/// Fields as they were recorded. Every invocation has some and few of them are ever logged, so that
/// names are turned into those of a line only then.
#[derive(Default)]
struct Fields(SmallVec<[(&'static str, Value); 4]>);

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, old)) => *old = value,
            None => self.0.push((field.name(), value)),
        }
    }

    fn take(&mut self, wanted: &str) -> Option<Value> {
        let position = self.0.iter().position(|(name, _)| *name == wanted)?;
        Some(self.0.remove(position).1)
    }
}

/// `session.id` becomes `sessionId`; a lone `error` is the error's message.
fn camel_case(name: &str) -> String {
    if name == "error" {
        return "errorMessage".into();
    }
    let mut parts = name.split(['.', '_']);
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.insert(field, text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn dotted_names_become_the_contracts() {
        assert_eq!(camel_case("session.id"), "sessionId");
        assert_eq!(camel_case("trace.parent_id"), "traceParentId");
        assert_eq!(camel_case("error"), "errorMessage");
        assert_eq!(camel_case("message"), "message");
    }

    #[test]
    fn a_line_has_the_documented_members_and_its_spans_fields() {
        struct Noon;
        impl Clock for Noon {
            fn now(&self) -> agentcore_protocol::Timestamp {
                agentcore_protocol::Timestamp::from_unix_millis(1_767_323_045_678)
            }
        }
        /// Keeps lines instead of writing them.
        struct Kept(JsonLines<Noon>, Arc<Mutex<Vec<Value>>>);
        impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Kept {
            fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
                self.0.on_new_span(attributes, id, context);
            }
            fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
                self.1.lock().unwrap().push(self.0.line(event, &context).into());
            }
        }

        let lines = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Kept(JsonLines::new(Noon), Arc::clone(&lines)));
        tracing::subscriber::with_default(subscriber, || {
            let _span =
                tracing::info_span!("invocation", "request.id" = "r-1", "session.id" = "s-1").entered();
            tracing::info!(target: "bedrock_agentcore::app", task_id = 7, "a task began");
        });
        let expected = serde_json::json!({
            "timestamp": "2026-01-02T03:04:05.678Z",
            "level": "INFO",
            "message": "a task began",
            "logger": "bedrock_agentcore.app",
            "requestId": "r-1",
            "sessionId": "s-1",
            "taskId": 7,
        });
        assert_eq!(*lines.lock().unwrap(), [expected]);
    }
}
