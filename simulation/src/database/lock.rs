//! The lock that serialises changes in the whole cluster.

use std::collections::VecDeque;

use leases::Position;

use super::slot::{Broken, Slot};
use crate::tasks::TaskId;

/// A transaction that takes the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its number.
    pub(crate) id: u64,
    /// Its task.
    pub(crate) task: TaskId,
    /// The connection of its replica.
    pub(crate) connection: u64,
}

/// The result of taking the lock: the position of the change.
pub(super) type Granted = Slot<Result<Position, Broken>>;

/// Rule `OneWriter`.
#[derive(Default)]
pub(super) struct Lock {
    holder: Option<Session>,
    queue: VecDeque<(Session, Granted)>,
}

impl Lock {
    /// Takes the lock, or queues for it. Returns whether the session has it.
    pub(super) fn take(&mut self, session: Session, granted: Granted) -> bool {
        if self.holder.is_some() {
            self.queue.push_back((session, granted));
            return false;
        }
        self.holder = Some(session);
        true
    }

    /// Releases the lock, if the session holds it; returns the next holder.
    pub(super) fn release(&mut self, session: Session) -> Option<(Session, Granted)> {
        if self.holder != Some(session) {
            return None;
        }
        let next = self.queue.pop_front();
        self.holder = next.as_ref().map(|(session, _)| *session);
        next
    }

    /// Removes the sessions of a replica from the queue; returns them, and its session that holds the lock.
    pub(super) fn abandoned_by(&mut self, replica: usize) -> (Vec<(Session, Granted)>, Option<Session>) {
        let is_its = |session: &Session| session.task.replica == replica;
        let (waiting, others): (VecDeque<_>, _) =
            self.queue.drain(..).partition(|(session, _)| is_its(session));
        self.queue = others;
        (waiting.into(), self.holder.filter(is_its))
    }

    /// Releases the lock and empties the queue; returns the queued sessions.
    pub(super) fn clear(&mut self) -> Vec<(Session, Granted)> {
        std::mem::take(self).queue.into()
    }

    pub(super) fn is_taken(&self) -> bool {
        self.holder.is_some()
    }
}
