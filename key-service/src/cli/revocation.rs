//! Tells how a change came into force.

use super::error::CliError;
use super::terminal::{print_json, tell};
use crate::revocation::settling::{self, Revocation, Settling};

/// Says on standard error what was done and since when it counts everywhere; as JSON on standard output too, if asked.
pub(super) fn report(done: &str, revocation: &Revocation, json: bool) -> Result<(), CliError> {
    tell(&format!("{done}; {}", in_words(revocation)))?;
    if json { print_json(revocation) } else { Ok(()) }
}

/// Waits until a change is in force everywhere, or until Ctrl-C.
pub(super) async fn settled(settling: Settling) -> Result<Revocation, CliError> {
    tokio::select! {
        settled = settling.settled() => Ok(settled?),
        Ok(()) = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

/// How a change came into force, as a part of a line.
pub(super) fn in_words(revocation: &Revocation) -> String {
    settling::in_words(revocation, "active")
}
