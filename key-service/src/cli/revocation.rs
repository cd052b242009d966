//! Waits until every edge has a change, and reports it.

use super::error::CliError;
use super::terminal::{print_json, print_message};
use crate::revocation::propagation::{self, Propagation, Revocation};

/// Reports on standard error what was done and how it propagated; with `json`, prints that as JSON on standard output too.
pub(super) fn report(done: &str, revocation: &Revocation, json: bool) -> Result<(), CliError> {
    print_message(&format!("{done}; {}", in_words(revocation)))?;
    if json { print_json(revocation) } else { Ok(()) }
}

/// Waits until every edge has a change, or until Ctrl-C.
pub(super) async fn wait(propagation: Propagation) -> Result<Revocation, CliError> {
    tokio::select! {
        revocation = propagation.wait() => Ok(revocation?),
        Ok(()) = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

/// How a change propagated, as a part of a line.
pub(super) fn in_words(revocation: &Revocation) -> String {
    propagation::in_words(revocation, "in effect")
}
