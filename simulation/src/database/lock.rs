//! The lock that a change takes: one at a time in the whole cluster has it.

use std::collections::VecDeque;

use leases::Position;

use super::slot::{Broken, Slot};
use crate::tasks::TaskId;

/// One transaction that wants the lock, has it, or had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub task: TaskId,
    /// Which of its replica's connections it goes over: another one, another session.
    pub connection: u64,
}

/// What a session gets with the lock: the place that its change will make.
pub(super) type Granted = Slot<Result<Position, Broken>>;

/// Rule `OneWriter`.
#[derive(Default)]
pub(super) struct Lock {
    holder: Option<Session>,
    queue: VecDeque<(Session, Granted)>,
}

impl Lock {
    /// Takes the lock, or waits for it; whether it is taken.
    pub(super) fn take(&mut self, session: Session, granted: Granted) -> bool {
        if self.holder.is_some() {
            self.queue.push_back((session, granted));
            return false;
        }
        self.holder = Some(session);
        true
    }

    /// Lets the lock go, if the session has it; who gets it now.
    pub(super) fn release(&mut self, session: Session) -> Option<(Session, Granted)> {
        if self.holder != Some(session) {
            return None;
        }
        let next = self.queue.pop_front();
        self.holder = next.as_ref().map(|(session, _)| *session);
        next
    }

    /// Takes the sessions of a replica out of the queue; and tells which of its sessions has the lock.
    pub(super) fn abandoned_by(&mut self, replica: usize) -> (Vec<(Session, Granted)>, Option<Session>) {
        let is_its = |session: &Session| session.task.replica == replica;
        let (waiting, others): (VecDeque<_>, _) =
            self.queue.drain(..).partition(|(session, _)| is_its(session));
        self.queue = others;
        (waiting.into(), self.holder.filter(is_its))
    }

    /// Frees everything; who had waited.
    pub(super) fn clear(&mut self) -> Vec<(Session, Granted)> {
        std::mem::take(self).queue.into()
    }

    pub(super) fn is_taken(&self) -> bool {
        self.holder.is_some()
    }
}
