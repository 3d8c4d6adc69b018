//! How the connections of a server are driven, and how long their callers are waited for. The SDK's
//! agents and the host serve theirs in the same way.

mod patience;
mod wakes;

pub use patience::{Answered, Patience, PatientBody, PatientStream, Stalled, Underway};
pub use wakes::{Bell, PolledInPlace, PolledWhenWoken, WakeFlag, polled_in_place, polled_when_woken};
