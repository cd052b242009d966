//! A model of the database: transactions happen one after the other, each at one moment; and the service's `Ledger` on
//! it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use key_service::leases::{
    Acknowledgement, Change, History, Lease, Leases, Ledger, Position, Registration, Touched,
};
use protocol::{ActiveVerdict, KeyDigest, ScopeSet, Verdict, VerifyResponse};

use crate::kernel::{Done, Event, Kernel, Shared, TaskId};
use crate::profile::MS;

/// A key, as the database has it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Whose it is.
    pub user: usize,
    /// The digest of its one value.
    pub digest: KeyDigest,
    /// Whether it may read insights, which is what requests ask for.
    pub may_read: bool,
}

/// What a change does to the keys.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The key is gone.
    Delete(String),
    /// The key has another value.
    Roll(String, KeyDigest),
    /// The key may read insights, or may not.
    Scope(String, bool),
    /// The user is let in, or is not.
    Enable(usize, bool),
}

/// What a digest is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Nothing.
    Nothing,
    /// It is good, and may not read insights.
    Known,
    /// It is good, and may.
    Good,
}

/// All that is in the database, and who waits for it.
pub struct State {
    /// The keys, by id.
    pub keys: BTreeMap<String, Key>,
    /// The users who are shut out.
    pub disabled: BTreeSet<usize>,
    /// The place of the latest change.
    pub revision: u64,
    history: Vec<(u64, KeyDigest)>,
    commit_times: BTreeMap<u64, u64>,
    registry: BTreeMap<String, (u64, i64)>,
    forgotten_until_ms: i64,
    locked: bool,
    lock_queue: VecDeque<(TaskId, Slot<()>)>,
    news_waiters: Vec<(TaskId, u64)>,
    acknowledgement_waiters: Vec<TaskId>,
    /// Tasks that got what they were blocked on.
    pub unblocked: Vec<TaskId>,
    /// Tasks that may find something new.
    pub woken: Vec<TaskId>,
    /// The effects of commits that the oracle has not seen yet.
    pub committed: Vec<(u64, Effect)>,
    rate: f64,
}

impl State {
    /// An empty database, with a clock that may run fast or slow.
    pub fn new(random: &mut fastrand::Rng, drift: u32) -> Self {
        State {
            keys: BTreeMap::new(),
            disabled: BTreeSet::new(),
            revision: 0,
            history: Vec::new(),
            commit_times: BTreeMap::new(),
            registry: BTreeMap::new(),
            forgotten_until_ms: 0,
            locked: false,
            lock_queue: VecDeque::new(),
            news_waiters: Vec::new(),
            acknowledgement_waiters: Vec::new(),
            unblocked: Vec::new(),
            woken: Vec::new(),
            committed: Vec::new(),
            rate: clock_rate(random, drift),
        }
    }

    /// The database's clock.
    pub fn clock_ms(&self, now: u64) -> i64 {
        1_700_000_000_000 + (now as f64 * self.rate / MS as f64) as i64
    }

    /// What a digest is worth now.
    pub fn worth(&self, digest: &KeyDigest) -> Worth {
        match self.keys.values().find(|key| key.digest == *digest) {
            Some(key) if !self.disabled.contains(&key.user) => {
                if key.may_read {
                    Worth::Good
                } else {
                    Worth::Known
                }
            }
            _ => Worth::Nothing,
        }
    }

    /// Whether a change is under way, so that nobody else can write.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// When a revision was committed.
    pub fn committed_at(&self, revision: u64) -> u64 {
        self.commit_times.get(&revision).copied().unwrap_or_default()
    }

    /// A power cut loses all leases; whoever starts next knows that it may have.
    pub fn lose_leases(&mut self, now: u64, longest_ms: u64) {
        self.registry.clear();
        self.forgotten_until_ms = self.clock_ms(now) + longest_ms as i64;
    }

    /// The process that held the lock, or waited for it, is gone.
    pub fn roll_back(&mut self) {
        self.locked = false;
        self.lock_queue.clear();
        self.news_waiters.clear();
        self.acknowledgement_waiters.clear();
    }

    fn unlock(&mut self) {
        self.locked = false;
        if let Some((task, slot)) = self.lock_queue.pop_front() {
            self.locked = true;
            slot.fill(());
            self.unblocked.push(task);
        }
    }

    fn digests(&self, touched: &Touched) -> Vec<KeyDigest> {
        match touched {
            Touched::Key(id) => self.keys.get(id).map(|key| key.digest).into_iter().collect(),
            Touched::Value(digest) => vec![*digest],
            Touched::User(id) => {
                let of_user = self.keys.values().filter(|key| key.user.to_string() == *id);
                of_user.map(|key| key.digest).collect()
            }
            Touched::KeysWith(values) => {
                let all = self.keys.values().map(|key| key.digest);
                all.filter(|digest| values.contains(digest)).collect()
            }
        }
    }

    fn commit(&mut self, changed: &[KeyDigest], effect: Option<Effect>, now: u64) -> Position {
        self.revision += 1;
        self.commit_times.insert(self.revision, now);
        self.history.extend(changed.iter().map(|digest| (self.revision, *digest)));
        if let Some(effect) = effect {
            match &effect {
                Effect::Delete(id) => drop(self.keys.remove(id)),
                Effect::Roll(id, digest) => {
                    if let Some(key) = self.keys.get_mut(id) {
                        key.digest = *digest;
                    }
                }
                Effect::Scope(id, may_read) => {
                    if let Some(key) = self.keys.get_mut(id) {
                        key.may_read = *may_read;
                    }
                }
                Effect::Enable(user, true) => drop(self.disabled.remove(user)),
                Effect::Enable(user, false) => drop(self.disabled.insert(*user)),
            }
            self.committed.push((now, effect));
        }
        let revision = self.revision;
        self.news_waiters.retain(|(task, beyond)| {
            let waits = *beyond >= revision;
            if !waits {
                self.woken.push(*task);
            }
            waits
        });
        self.unlock();
        Position { log: LOG.to_owned(), revision }
    }
}

/// The one history that the simulation has.
const LOG: &str = "log";

/// A clock's rate: up to `drift` thousandths fast or slow.
pub fn clock_rate(random: &mut fastrand::Rng, drift: u32) -> f64 {
    let drift = f64::from(drift) / 1_000.0;
    1.0 - drift + 2.0 * drift * random.f64()
}

/// Where a transaction leaves what it made.
struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Slot(Arc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    fn empty() -> Self {
        Slot(Arc::new(Mutex::new(None)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, made: T) {
        *self.lock() = Some(made);
    }

    /// Waits until it is filled; the task is polled when it is.
    fn filled(self) -> impl Future<Output = T> {
        poll_fn(move |_| self.lock().take().map_or(Poll::Pending, Poll::Ready))
    }
}

/// The service's view of the database.
pub struct SimulatedLedger<W>(pub Shared<W>);

impl<W: Send + 'static> SimulatedLedger<W> {
    /// One transaction.
    fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State, u64) -> T + Send + 'static,
    ) -> impl Future<Output = T> {
        transact(&self.0, false, work)
    }

    /// Waits a while, or until `is_over`.
    fn pause(
        &self,
        at_most: Duration,
        is_over: impl Fn(&State, TaskId) -> bool,
        register: impl FnOnce(&mut Kernel<W>, TaskId),
    ) -> impl Future<Output = ()> {
        let at_most = at_most.as_micros() as u64;
        let (task, end) = {
            let mut kernel = self.0.lock();
            let task = kernel.current;
            register(&mut kernel, task);
            kernel.after(at_most, Event::Poll(task));
            (task, kernel.now + at_most)
        };
        let mut was_polled = false;
        poll_fn(move |_| {
            let kernel = self.0.lock();
            let is_first = !std::mem::replace(&mut was_polled, true);
            if is_first || kernel.now < end && !is_over(&kernel.database, task) {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }
}

fn transact<W: Send + 'static, T: Send + 'static>(
    shared: &Shared<W>,
    survives_crash: bool,
    work: impl FnOnce(&mut State, u64) -> T + Send + 'static,
) -> impl Future<Output = T> {
    let slot = Slot::empty();
    let filled = slot.clone();
    let work = move |state: &mut State, now| {
        slot.fill(work(state, now));
        Done::Ready
    };
    shared.lock().transact(survives_crash, Box::new(work));
    filled.filled()
}

impl<W: Send + 'static> Ledger for SimulatedLedger<W> {
    type Error = Infallible;
    type Change<'l> = SimulatedChange<W>;

    async fn begin(&self) -> Result<SimulatedChange<W>, Infallible> {
        let slot = Slot::empty();
        {
            let (slot, mut kernel) = (slot.clone(), self.0.lock());
            let task = kernel.current;
            let lock = move |state: &mut State, _| {
                if state.locked {
                    state.lock_queue.push_back((task, slot));
                    return Done::Blocked;
                }
                state.locked = true;
                slot.fill(());
                Done::Ready
            };
            kernel.transact(false, Box::new(lock));
        }
        slot.filled().await;
        Ok(SimulatedChange { shared: self.0.clone(), effect: None, has_lock: true })
    }

    async fn record(&self, registration: Registration) -> Result<(), Infallible> {
        self.transact(move |state, now| {
            let ends_at = state.clock_ms(now) + registration.lasts_ms as i64;
            let acknowledged = registration.acknowledged.map_or(0, |position| position.revision);
            let entry = state.registry.entry(registration.edge).or_insert((0, 0));
            *entry = (entry.0.max(acknowledged), entry.1.max(ends_at));
            state.woken.append(&mut state.acknowledgement_waiters);
        })
        .await;
        Ok(())
    }

    async fn history(&self, since: Option<&Position>) -> Result<History, Infallible> {
        let since = since.map(|position| position.revision);
        let read = move |state: &mut State, _| History {
            position: Position { log: LOG.to_owned(), revision: state.revision },
            changed: since.map(|since| {
                let later = state.history.iter().rev().take_while(|(revision, _)| *revision > since);
                later.map(|(_, digest)| *digest).collect()
            }),
        };
        Ok(self.transact(read).await)
    }

    async fn leases(&self, position: &Position) -> Result<Leases, Infallible> {
        let revision = position.revision;
        let read = move |state: &mut State, now| {
            let now_ms = state.clock_ms(now);
            let behind = state.registry.iter().filter(|(_, (acknowledged, _))| *acknowledged < revision);
            Leases {
                now_ms,
                forgotten_until_ms: state.forgotten_until_ms,
                held: state.registry.values().filter(|(_, ends_at_ms)| *ends_at_ms > now_ms).count(),
                behind: behind
                    .map(|(edge, &(_, ends_at_ms))| Lease { edge: edge.clone(), ends_at_ms })
                    .collect(),
            }
        };
        Ok(self.transact(read).await)
    }

    async fn verdicts(&self, digests: &[KeyDigest]) -> Result<VerifyResponse, Infallible> {
        let digests = digests.to_vec();
        let read = move |state: &mut State, _| VerifyResponse {
            log: LOG.to_owned(),
            revision: state.revision,
            verdicts: digests.iter().map(|digest| verdict(state.worth(digest))).collect(),
        };
        Ok(self.transact(read).await)
    }

    async fn news(&self, beyond: &Position, at_most: Duration) -> bool {
        let revision = beyond.revision;
        let register = |kernel: &mut Kernel<W>, task| {
            if kernel.database.revision > revision {
                kernel.database.woken.push(task);
                kernel.wake_unblocked();
            } else {
                kernel.database.news_waiters.push((task, revision));
            }
        };
        self.pause(at_most, |state, _| state.revision > revision, register).await;
        self.0.lock().database.revision > revision
    }

    async fn acknowledgements(&self, at_most: Duration) -> Vec<Acknowledgement> {
        let is_over = |state: &State, task| !state.acknowledgement_waiters.contains(&task);
        self.pause(at_most, is_over, |kernel, task| kernel.database.acknowledgement_waiters.push(task)).await;
        Vec::new()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.lock().now / MS
    }
}

fn verdict(worth: Worth) -> Verdict {
    let scopes = match worth {
        Worth::Nothing => return Verdict::Inactive,
        Worth::Known => ScopeSet::default(),
        Worth::Good => ScopeSet::parse(["insight:read"]).unwrap_or_default(),
    };
    Verdict::Active(ActiveVerdict { key_id: "k".into(), user_id: "u".into(), scopes, expires_in_ms: None })
}

/// A change under way.
pub struct SimulatedChange<W> {
    shared: Shared<W>,
    /// What it will do when it is committed.
    pub effect: Option<Effect>,
    has_lock: bool,
}

impl<W: Send + 'static> SimulatedChange<W> {
    /// Whether a key is there, as the change sees it.
    pub fn has_key(&self, id: &str) -> bool {
        self.shared.lock().database.keys.contains_key(id)
    }
}

impl<W: Send + 'static> Change for SimulatedChange<W> {
    type Error = Infallible;

    async fn digests(&mut self, touched: &Touched) -> Result<Vec<KeyDigest>, Infallible> {
        let touched = touched.clone();
        Ok(transact(&self.shared, false, move |state, _| state.digests(&touched)).await)
    }

    async fn commit(mut self, changed: &[KeyDigest]) -> Result<Position, Infallible> {
        self.has_lock = false;
        let (effect, changed) = (self.effect.take(), changed.to_vec());
        Ok(transact(&self.shared, true, move |state, now| state.commit(&changed, effect, now)).await)
    }

    async fn abandon(mut self) -> Result<Position, Infallible> {
        self.has_lock = false;
        let end = |state: &mut State, _| {
            state.unlock();
            Position { log: LOG.to_owned(), revision: state.revision }
        };
        Ok(transact(&self.shared, false, end).await)
    }
}

impl<W> Drop for SimulatedChange<W> {
    fn drop(&mut self) {
        if self.has_lock {
            let mut kernel = self.shared.lock();
            kernel.database.unlock();
            kernel.wake_unblocked();
        }
    }
}
