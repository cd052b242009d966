//! The edge API: verdicts, the subscription, and the promise.

mod answers;
mod changes;
mod history;
pub(crate) mod revocation;
mod sync;
mod verify;
