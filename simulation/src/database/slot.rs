//! How the outcome of a transaction reaches the task that waits for it.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// A transaction failed, or its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A place for the result of a transaction.
pub(crate) struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Slot(Arc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    pub(crate) fn empty() -> Self {
        Slot(Arc::new(Mutex::new(None)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fill(&self, made: T) {
        *self.lock() = Some(made);
    }

    /// Waits until it is filled; the task is polled when it is.
    pub(crate) fn filled(self) -> impl Future<Output = T> {
        poll_fn(move |_| self.lock().take().map_or(Poll::Pending, Poll::Ready))
    }
}
