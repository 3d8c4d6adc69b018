//! `InvokeAgentRuntimeCommandShell`, the interactive shells of AWS. This host has none: whoever asks is
//! told so, and what to ask for instead.

use crate::api::aws::error::AwsError;
use crate::api::caller::Caller;

pub(super) async fn refuse(_: Caller) -> AwsError {
    AwsError::invalid(
        "shellId",
        "this host has no interactive shells: run commands one by one with InvokeAgentRuntimeCommand",
    )
}
