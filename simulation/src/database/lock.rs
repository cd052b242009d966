//! The lock that a change takes: one at a time in the whole cluster has it.

use std::collections::{BTreeMap, VecDeque};

use leases::Position;
use protocol::rules::{Rule, holds};

use super::{Broken, Slot};
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

#[derive(Default)]
struct Lock {
    holder: Option<Session>,
    queue: VecDeque<(Session, Granted)>,
}

/// The lock; where a rule is broken, each replica has one of its own.
#[derive(Default)]
pub(super) struct Locks(BTreeMap<usize, Lock>);

impl Locks {
    fn of(&mut self, session: Session) -> &mut Lock {
        self.0.entry(if holds(Rule::OneWriter) { 0 } else { session.task.replica }).or_default()
    }

    /// Takes the lock, or waits for it; whether it is taken.
    pub(super) fn take(&mut self, session: Session, granted: Granted) -> bool {
        let lock = self.of(session);
        if lock.holder.is_some() {
            lock.queue.push_back((session, granted));
            return false;
        }
        lock.holder = Some(session);
        true
    }

    /// Lets the lock go, if the session has it; who gets it now.
    pub(super) fn release(&mut self, session: Session) -> Option<(Session, Granted)> {
        let lock = self.of(session);
        if lock.holder != Some(session) {
            return None;
        }
        let next = lock.queue.pop_front();
        lock.holder = next.as_ref().map(|(session, _)| *session);
        next
    }

    /// Takes out of the queues who waits there for a replica; and who has a lock for it.
    pub(super) fn abandoned_by(&mut self, replica: usize) -> (Vec<(Session, Granted)>, Vec<Session>) {
        let is_its = |session: &Session| session.task.replica == replica;
        let mut waiting = Vec::new();
        for lock in self.0.values_mut() {
            let (its, others) = lock.queue.drain(..).partition(|(session, _)| is_its(session));
            let its: VecDeque<_> = its;
            waiting.extend(its);
            lock.queue = others;
        }
        (waiting, self.0.values().filter_map(|lock| lock.holder).filter(is_its).collect())
    }

    /// Frees everything; who had waited.
    pub(super) fn clear(&mut self) -> Vec<(Session, Granted)> {
        std::mem::take(&mut self.0).into_values().flat_map(|lock| lock.queue).collect()
    }

    pub(super) fn is_taken(&self) -> bool {
        self.0.values().any(|lock| lock.holder.is_some())
    }
}
