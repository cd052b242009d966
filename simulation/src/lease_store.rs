//! The service's `LeaseStore` on the model of the database. Each sync, verify and change uses its own.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use leases::{Acknowledgement, AffectedKeys, Change, History, LeaseRenewal, LeaseStore, Leases, Position};
use protocol::{KeyDigest, VerifyResponse};

use crate::database::{Broken, Database, Effect, Session, Slot};
use crate::kernel::{Event, Shared};
use crate::replica::{Awaited, Replica};
use crate::statement::{Batch, Done, Statement, StatementOutcome};

/// How often an idempotent statement is tried.
const TRIES: u32 = 2;

/// The database, as the current task's replica uses it.
pub struct SimulatedLeaseStore<W> {
    shared: Shared<W>,
    /// How many acknowledgements of its replica this store has returned or skipped. It skips those from before its first
    /// read of the leases.
    taken: AtomicUsize,
    /// When the leases were last read.
    read_at: AtomicU64,
}

impl<W: Send + 'static> SimulatedLeaseStore<W> {
    /// A lease store that has read nothing yet.
    pub fn new(shared: &Shared<W>) -> Self {
        SimulatedLeaseStore {
            shared: shared.clone(),
            taken: AtomicUsize::new(usize::MAX),
            read_at: AtomicU64::new(0),
        }
    }

    /// The true time of the last read of the leases, in microseconds.
    pub(crate) fn read_at(&self) -> u64 {
        self.read_at.load(Ordering::Relaxed)
    }

    /// Runs a batched statement; tries again if a connection broke.
    async fn run<T: Send + 'static>(
        &self,
        batch: Batch,
        work: impl Fn(&mut Database, u64) -> T + Clone + Send + 'static,
    ) -> Result<T, Broken> {
        let may_outlive = batch == Batch::Records;
        for _ in 1..TRIES {
            let statement = Statement { batch: Some(batch), session: None, may_outlive };
            if let Ok(made) = transact(&self.shared, statement, work.clone()).await {
                return Ok(made);
            }
        }
        transact(&self.shared, Statement { batch: Some(batch), session: None, may_outlive }, work).await
    }

    /// Whether a key exists, and the current position.
    pub(crate) async fn find_key(&self, id: &str) -> Result<(bool, Position), Broken> {
        let id = id.to_owned();
        let find = move |database: &mut Database, _| {
            (database.data.keys.contains_key(&id), database.data.position.clone())
        };
        transact(&self.shared, Statement::default(), find).await
    }

    /// Reads from the current replica.
    fn with_replica<T>(&self, at: impl FnOnce(&Replica) -> T) -> T {
        let kernel = self.shared.lock();
        at(&kernel.replicas[kernel.current.replica])
    }

    /// Waits until the replica has received `awaited`, or until the timeout.
    async fn wait(&self, awaited: Awaited, at_most: Duration) {
        let (task, timer) = {
            let mut kernel = self.shared.lock();
            let task = kernel.current;
            kernel.replicas[task.replica].wait(task, awaited);
            let at_most = kernel.replicas[task.replica].clock.lasts(at_most.as_micros() as u64);
            (task, kernel.after(at_most, Event::Poll(task)))
        };
        poll_fn(|_| {
            let mut kernel = self.shared.lock();
            if kernel.now >= timer.0 {
                kernel.replicas[task.replica].stop_waiting(task);
            }
            if kernel.replicas[task.replica].waits(task) {
                return Poll::Pending;
            }
            kernel.cancel(timer);
            Poll::Ready(())
        })
        .await;
    }
}

/// Runs one step of a transaction.
async fn transact<W: Send + 'static, T: Send + 'static>(
    shared: &Shared<W>,
    statement: Statement,
    work: impl FnOnce(&mut Database, u64) -> T + Send + 'static,
) -> Result<T, Broken> {
    let slot = Slot::empty();
    let filled = slot.clone();
    let work = move |outcome: StatementOutcome<'_>| {
        slot.fill(match outcome {
            StatementOutcome::Happens(database, now) => Ok(work(database, now)),
            StatementOutcome::HappensUnanswered(database, now) => {
                work(database, now);
                Err(Broken)
            }
            StatementOutcome::Fails => Err(Broken),
        });
        Done::Ready
    };
    shared.lock().transact(statement, Box::new(work));
    filled.filled().await
}

impl<W: Send + 'static> LeaseStore for SimulatedLeaseStore<W> {
    type Error = Broken;
    type Change<'l> = SimulatedChange<W>;

    async fn begin(&self) -> Result<SimulatedChange<W>, Broken> {
        let granted = Slot::empty();
        let session = {
            let mut kernel = self.shared.lock();
            let task = kernel.current;
            let (id, connection) = (kernel.number(), kernel.replicas[task.replica].connection);
            let session = Session { id, task, connection };
            let granted = granted.clone();
            let lock = move |outcome: StatementOutcome<'_>| {
                let StatementOutcome::Happens(database, _) = outcome else {
                    granted.fill(Err(Broken));
                    return Done::Ready;
                };
                if database.begin(session, &granted) { Done::Ready } else { Done::Blocked }
            };
            let statement = Statement { session: Some(session), ..Statement::default() };
            kernel.transact(statement, Box::new(lock));
            session
        };
        let position = granted.filled().await?;
        Ok(SimulatedChange { shared: self.shared.clone(), effect: None, session, position, is_open: true })
    }

    async fn record(&self, renewal: LeaseRenewal) -> Result<(), Broken> {
        {
            let mut kernel = self.shared.lock();
            let task = kernel.current;
            let losses = kernel.profile.losses;
            let is_received = !kernel.chance(losses.acknowledgements);
            if let Some(position) = renewal.acknowledged.clone().filter(|_| is_received) {
                let acknowledgement = Acknowledgement { edge: renewal.edge.clone(), position };
                let woken = kernel.replicas[task.replica].receive_acknowledgement(acknowledgement);
                kernel.wake(woken);
            }
        }
        self.run(Batch::Records, move |database, now| {
            let now_ms = database.clock_ms(now); // rule `DatabaseClock`
            database.data.record(renewal.clone(), now_ms);
        })
        .await
    }

    async fn history(&self, since: Option<&Position>) -> Result<History, Broken> {
        let since = since.cloned();
        self.run(Batch::Histories, move |database, _| database.data.history(since.as_ref())).await
    }

    async fn leases(&self, position: &Position) -> Result<Leases, Broken> {
        {
            let kernel = self.shared.lock();
            let received = kernel.replicas[kernel.current.replica].acknowledged.len();
            self.taken.fetch_min(received, Ordering::Relaxed);
        }
        let position = position.clone();
        let read = move |database: &mut Database, now| {
            (database.data.leases(&position, database.clock_ms(now)), now)
        };
        let (leases, read_at) = self.run(Batch::Leases, read).await?;
        self.read_at.store(read_at, Ordering::Relaxed);
        leases
    }

    async fn verdicts(&self, digests: &[KeyDigest]) -> Result<VerifyResponse, Broken> {
        let digests = digests.to_vec();
        let read =
            move |database: &mut Database, now| database.data.verdicts(&digests, database.clock_ms(now));
        self.run(Batch::Verdicts, read).await
    }

    async fn flush(&self) -> Result<(), Broken> {
        transact(&self.shared, Statement::default(), |_, _| ()).await
    }

    async fn wait_for_change(&self, beyond: &Position, at_most: Duration) -> bool {
        let (has_change, is_draining) =
            self.with_replica(|replica| (replica.has_change(beyond), replica.is_draining));
        if !has_change && !is_draining {
            self.wait(Awaited::Change(beyond.clone()), at_most).await;
        }
        self.with_replica(|replica| replica.has_change(beyond))
    }

    async fn acknowledgements(&self, at_most: Duration) -> Vec<Acknowledgement> {
        let taken = self.taken.load(Ordering::Relaxed);
        if self.with_replica(|replica| replica.acknowledged.len() <= taken) {
            self.wait(Awaited::Acknowledgement, at_most).await;
        }
        let received =
            self.with_replica(|replica| replica.acknowledged.get(taken..).unwrap_or_default().to_vec());
        self.taken.fetch_add(received.len(), Ordering::Relaxed);
        received
    }

    fn monotonic_ms(&self) -> u64 {
        let now = self.shared.lock().now;
        self.with_replica(|replica| replica.clock.elapsed_ms(now))
    }
}

/// A change that has the lock.
pub struct SimulatedChange<W> {
    shared: Shared<W>,
    /// Its effect, applied by the commit.
    pub effect: Option<Effect>,
    session: Session,
    position: Position,
    is_open: bool,
}

impl<W: Send + 'static> SimulatedChange<W> {
    /// Whether a key exists, as the change sees it.
    pub fn has_key(&self, id: &str) -> bool {
        self.shared.lock().database.data.keys.contains_key(id)
    }

    fn statement(&self, may_outlive: bool) -> Statement {
        Statement { batch: None, session: Some(self.session), may_outlive }
    }
}

impl<W: Send + 'static> Change for SimulatedChange<W> {
    type Error = Broken;

    async fn digests(&mut self, affected: &AffectedKeys) -> Result<Vec<KeyDigest>, Broken> {
        let affected = affected.clone();
        let read = move |database: &mut Database, _| database.data.digests(&affected);
        transact(&self.shared, self.statement(false), read).await
    }

    async fn commit(mut self, changed: &[KeyDigest]) -> Result<Position, Broken> {
        self.is_open = false;
        let (session, position, changed) = (self.session, self.position.clone(), changed.to_vec());
        let effect = self.effect.take();
        let commit = move |database: &mut Database, now| {
            database.commit(session, &position, &changed, effect, now);
            position
        };
        let position = transact(&self.shared, self.statement(true), commit).await?;
        self.shared.lock().notify(session.task.replica, &position);
        Ok(position)
    }

    async fn abandon(mut self) -> Result<Position, Broken> {
        self.is_open = false;
        let session = self.session;
        transact(&self.shared, self.statement(false), move |database, _| database.unlock(session)).await?;
        Ok(Position { revision: self.position.revision.saturating_sub(1), ..self.position.clone() })
    }
}

impl<W> Drop for SimulatedChange<W> {
    fn drop(&mut self) {
        let mut kernel = self.shared.lock();
        // A rollback cannot be sent on a broken connection.
        if self.is_open && kernel.replicas[self.session.task.replica].connection == self.session.connection {
            kernel.database.unlock(self.session);
            kernel.wake_and_notify();
        }
    }
}
