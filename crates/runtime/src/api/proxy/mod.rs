//! From a caller to an agent and back, without holding on to anything on the way.

mod body;
mod exchange;
mod headers;
mod websocket;

pub(super) use body::AgentBody;
pub(super) use exchange::{ExchangeError, exchange, invoke};
pub(super) use headers::{agent_headers, answer_headers, id_value, is_event_stream};
pub(super) use websocket::{is_websocket, websocket};
