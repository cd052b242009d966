//! The edge API: verdicts, the subscription, and the promise.

mod changes;
mod history;
mod revocation;
mod sync;
mod verify;
