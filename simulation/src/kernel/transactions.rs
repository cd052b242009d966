//! Pending transactions: when they happen, and how faults end them.

use super::{Event, Kernel};
use crate::clock::MS;
use crate::database::{STANDBY_SKEW_MS, Session};
use crate::statement::{Batch, Done, Statement, StatementOutcome, Work};
use crate::tasks::TaskId;

/// How long a patient replica waits before it tries a database that is down again.
const RECONNECTING: u64 = 100 * MS;

/// How a pending transaction will end after a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doom {
    Unanswered,
    Failed,
}

pub(super) struct Pending {
    replica: usize,
    generation: u64,
    statement: Statement,
    members: Vec<(TaskId, Work)>,
    doom: Option<Doom>,
}

impl<W> Kernel<W> {
    /// Sends a step of a transaction of the current task.
    pub(crate) fn transact(&mut self, statement: Statement, work: Work) {
        let task = self.current;
        let Some(batch) = statement.batch else { return self.send(statement, vec![(task, work)]) };
        let gathering = self.replicas[task.replica].gathering(batch);
        if !gathering.is_busy {
            gathering.is_busy = true;
            self.send(statement, vec![(task, work)]);
        } else {
            gathering.next.push((task, work)); // rule `BatchAfterMembers`
        }
    }

    fn send(&mut self, statement: Statement, members: Vec<(TaskId, Work)>) {
        let Some(replica) = members.first().map(|(task, _)| task.replica) else { return };
        let delay = self.database_delay();
        let (number, generation) = (self.number(), self.replicas[replica].generation);
        // A statement on a broken connection fails.
        let is_lost = statement.session.is_some_and(|it| it.connection != self.replicas[replica].connection);
        let doom = is_lost.then_some(Doom::Failed);
        self.works.insert(number, Pending { replica, generation, statement, members, doom });
        self.after(delay, Event::Work(number));
    }

    /// A pending transaction happens, unless a fault ended it.
    pub(crate) fn perform(&mut self, number: u64) {
        let Some(pending) = self.works.remove(&number) else { return };
        let can_wait = pending.statement.session.is_none() && pending.doom.is_none();
        if !self.database.is_up && self.profile.is_patient && can_wait {
            self.works.insert(number, pending);
            self.after(RECONNECTING, Event::Work(number));
            return;
        }
        let Pending { replica, generation, statement, members, doom } = pending;
        let fails = !self.database.is_up || doom == Some(Doom::Failed);
        if !fails {
            self.connect(replica);
        }
        let delay = self.database_delay();
        for (task, work) in members {
            let outcome = match doom {
                _ if fails => StatementOutcome::Fails,
                Some(_) => StatementOutcome::HappensUnanswered(&mut self.database, self.now),
                None => StatementOutcome::Happens(&mut self.database, self.now),
            };
            if let Done::Ready = work(outcome) {
                self.after(delay, Event::Poll(task));
            }
        }
        if let Some(batch) = statement.batch {
            self.after(delay, Event::BatchEnds(replica, generation, batch));
        }
        self.wake_and_notify();
    }

    /// The result of a batch has arrived: sends the next one.
    pub fn end_batch(&mut self, replica: usize, batch: Batch) {
        let gathering = self.replicas[replica].gathering(batch);
        let members = std::mem::take(&mut gathering.next);
        gathering.is_busy = !members.is_empty();
        let may_outlive = batch == Batch::Records;
        self.send(Statement { batch: Some(batch), session: None, may_outlive }, members);
    }

    /// Performs the transaction that a task waits for; returns its kind of batch.
    pub fn perform_next_of(&mut self, task: TaskId) -> Option<Option<Batch>> {
        let is_its = |pending: &Pending| pending.members.iter().any(|(member, _)| *member == task);
        let (number, pending) = self.works.iter().find(|(_, pending)| is_its(pending))?;
        let (number, batch) = (*number, pending.statement.batch);
        self.perform(number);
        Some(batch)
    }

    /// Wakes the tasks that a transaction has unblocked, and notifies replicas of commits.
    pub(crate) fn wake_and_notify(&mut self) {
        for task in std::mem::take(&mut self.database.unblocked) {
            let delay = self.database_delay();
            self.after(delay, Event::Poll(task));
        }
        if self.database.committed.is_empty() {
            return;
        }
        let position = self.database.data.position.clone();
        for replica in 0..self.replicas.len() {
            if self.replicas[replica].is_up && !self.chance(self.profile.losses.notifications) {
                let delay = self.span(self.profile.notification_delay.clone());
                let generation = self.replicas[replica].generation;
                self.after(delay, Event::Notified(replica, generation, position.clone()));
            }
        }
    }

    /// The connections of a replica break. Some of its pending statements still happen, and their results are lost.
    pub(crate) fn lose_connections(&mut self, replica: usize) {
        self.replicas[replica].connection += 1;
        let mut committing = Vec::new();
        for pending in self.works.values_mut().filter(|it| it.replica == replica && it.doom.is_none()) {
            if pending.statement.may_outlive && self.random.bool() {
                pending.doom = Some(Doom::Unanswered);
                committing.extend(pending.statement.session);
            } else {
                pending.doom = Some(Doom::Failed);
            }
        }
        if let Some(session) = self.database.lose_connections(replica) {
            // A commit that happens releases the lock.
            if !committing.contains(&session) {
                let delay = self.span(self.profile.notice_delay.clone());
                self.after(delay, Event::SessionEnds(session));
            }
        }
        self.wake_and_notify();
    }

    /// Kills a replica. The caller drops its tasks.
    pub fn kill(&mut self, replica: usize) {
        self.lose_connections(replica);
        self.replicas[replica].stop();
    }

    pub(super) fn end_session(&mut self, session: Session) {
        self.database.unlock(session);
        self.wake_and_notify();
    }

    /// The database goes down. Some pending commits happen before, and their results are lost. All connections break.
    /// With `lacking`, a standby that lacks this number of changes takes over.
    pub fn crash_database(&mut self, lacking: Option<usize>) {
        let outliving = self.works.iter().filter(|(_, it)| it.statement.may_outlive && it.doom.is_none());
        let outliving: Vec<u64> = outliving.map(|(number, _)| *number).collect();
        for number in outliving {
            if self.random.bool() {
                if let Some(pending) = self.works.get_mut(&number) {
                    pending.doom = Some(Doom::Unanswered);
                }
                self.perform(number);
            }
        }
        self.works.values_mut().for_each(|pending| pending.doom = Some(Doom::Failed));
        self.replicas.iter_mut().for_each(|replica| replica.connection += 1);
        match lacking {
            None => self.database.crash(),
            Some(lacking) => {
                let offset_ms = self.random.i64(-STANDBY_SKEW_MS..=STANDBY_SKEW_MS);
                self.database.fail_over(lacking, offset_ms, self.now);
            }
        }
        self.wake_and_notify();
    }
}
