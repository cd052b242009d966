//! Time and events. Only the seed decides what happens next.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leases::Position;

use crate::clock::{Clock, MS};
use crate::database::{Database, Session};
use crate::profile::{LONGEST_LIFE_MS, Profile};
use crate::replica::Replica;
use crate::statement::Batch;
use crate::tasks::TaskId;

mod transactions;

use transactions::Pending;

/// How often a replica polls the database for changes of other replicas.
const POLL: u64 = 250 * MS;

/// How long a task takes to wake another one of its replica.
const WAKING: Range<u64> = 1..50;

/// A future event.
pub(crate) enum Event<W> {
    /// A task is polled.
    Poll(TaskId),
    /// A step of a transaction happens.
    Work(u64),
    /// The result of a batch reaches a replica, in that generation.
    BatchEnds(usize, u64, Batch),
    /// A notification reaches a replica, in that generation.
    Notified(usize, u64, Position),
    /// A replica polls for changes, in that generation.
    Polls(usize, u64),
    /// The database notices a dead connection.
    SessionEnds(Session),
    /// An event of the world.
    World(Box<W>),
}

/// The time of an event, and its place among those of the same time.
pub(crate) type Due = (u64, u64);

/// The state that tasks and the world share.
pub struct Kernel<W> {
    /// The true time, in microseconds.
    pub now: u64,
    /// The source of all randomness.
    pub random: fastrand::Rng,
    /// The faults.
    pub profile: Profile,
    /// The database.
    pub database: Database,
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// The task that is polled.
    pub current: TaskId,
    events: BTreeMap<Due, Event<W>>,
    works: BTreeMap<u64, Pending>,
    next: u64,
}

impl<W> Kernel<W> {
    /// A kernel at time 0, with replicas that have just started.
    pub fn new(profile: Profile) -> Self {
        let mut random = fastrand::Rng::with_seed(profile.seed ^ 0x5eed);
        let database = Database::new(&mut random, &profile);
        let (drift, skew_ms) = (profile.drift, profile.skew_ms);
        let replicas: Vec<Replica> =
            (0..profile.replicas).map(|_| Replica::new(Clock::new(&mut random, drift, skew_ms))).collect();
        let mut kernel = Kernel {
            now: 0,
            random,
            profile,
            database,
            replicas,
            current: TaskId { replica: 0, number: 0 },
            events: BTreeMap::new(),
            works: BTreeMap::new(),
            next: 0,
        };
        (0..kernel.replicas.len()).for_each(|replica| kernel.ask_later(replica));
        kernel
    }

    /// A unique number.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Schedules an event.
    pub(crate) fn after(&mut self, delay: u64, event: Event<W>) -> Due {
        let due = (self.now + delay, self.number());
        self.events.insert(due, event);
        due
    }

    /// Removes an event.
    pub(crate) fn cancel(&mut self, due: Due) {
        self.events.remove(&due);
    }

    /// A random duration.
    pub(crate) fn span(&mut self, range: Range<u64>) -> u64 {
        self.random.u64(range)
    }

    /// A random delay of a transaction; short ones are more frequent.
    fn database_delay(&mut self) -> u64 {
        let Range { start, end } = self.profile.database_delay;
        start + ((end - start) as f64 * self.random.f64().powi(3)) as u64
    }

    /// True with this probability, in thousandths.
    pub(crate) fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.random.u32(..1_000) < thousandths
    }

    /// A random expiry, by the database's clock; half of the keys never expire.
    pub(crate) fn some_end(&mut self) -> Option<i64> {
        let life_ms = self.random.bool().then(|| self.random.u64(1..=LONGEST_LIFE_MS))?;
        Some(self.database.clock_ms(self.now) + life_ms as i64)
    }

    /// Runs events up to the next one that the world handles.
    pub(crate) fn next_event(&mut self) -> Option<Event<W>> {
        loop {
            let ((at, _), event) = self.events.pop_first()?;
            self.now = at;
            if let Some(left) = self.paused_for(&event) {
                self.after(left, event);
                continue;
            }
            match event {
                Event::BatchEnds(replica, generation, batch) if self.runs(replica, generation) => {
                    self.end_batch(replica, batch);
                }
                Event::Notified(replica, generation, position) if self.runs(replica, generation) => {
                    self.notify(replica, &position);
                }
                Event::Polls(replica, generation) if self.runs(replica, generation) => self.poll(replica),
                Event::SessionEnds(session) => self.end_session(session),
                Event::BatchEnds(..) | Event::Notified(..) | Event::Polls(..) => {}
                Event::Poll(_) | Event::Work(_) | Event::World(_) => return Some(event),
            }
        }
    }

    /// The time for which the replica of an event is still paused.
    fn paused_for(&self, event: &Event<W>) -> Option<u64> {
        let replica = match event {
            Event::Poll(task) => task.replica,
            Event::BatchEnds(replica, ..) | Event::Notified(replica, ..) | Event::Polls(replica, _) => {
                *replica
            }
            Event::Work(_) | Event::SessionEnds(_) | Event::World(_) => return None,
        };
        self.replicas[replica].paused_until?.checked_sub(self.now).filter(|left| *left > 0)
    }

    fn runs(&self, replica: usize, generation: u64) -> bool {
        self.replicas[replica].is_up && self.replicas[replica].generation == generation
    }

    /// Starts a replica again, perhaps with other lease settings.
    pub(crate) fn start(&mut self, replica: usize) {
        if let Some(other) = &mut self.profile.other_lease_config
            && self.random.bool()
        {
            std::mem::swap(other, &mut self.profile.lease_configs[replica]);
        }
        self.replicas[replica].is_up = true;
        self.ask_later(replica);
    }

    fn ask_later(&mut self, replica: usize) {
        let generation = self.replicas[replica].generation;
        let delay = self.replicas[replica].clock.lasts(POLL);
        self.after(delay, Event::Polls(replica, generation));
    }

    fn poll(&mut self, replica: usize) {
        if self.database.is_up {
            self.connect(replica);
            let position = self.database.data.position.clone();
            self.notify(replica, &position);
        }
        self.ask_later(replica);
    }

    /// A replica uses the database. On a new connection it first checks for a loss.
    fn connect(&mut self, replica: usize) {
        let lasts_ms = self.profile.lease_configs[replica].lasts_ms();
        let connecting = &mut self.replicas[replica];
        if connecting.looked_over.replace(connecting.connection) != Some(connecting.connection) {
            self.database.connect(lasts_ms, &mut connecting.announced_in, self.now);
        }
    }

    /// A replica lowers the longest lease that counts after a loss, if it may.
    pub(crate) fn lower_longest(&mut self, replica: usize) {
        let is_awake = self.replicas[replica].is_up && self.replicas[replica].paused_until.is_none();
        if is_awake && self.database.is_up {
            self.connect(replica);
            let lasts_ms = self.profile.lease_configs[replica].lasts_ms();
            self.database.lower_longest(lasts_ms, self.now);
        }
    }

    /// A replica receives a notification of a position.
    pub(crate) fn notify(&mut self, replica: usize, position: &Position) {
        let woken = self.replicas[replica].receive_position(position);
        self.wake(woken);
    }

    /// Wakes tasks.
    pub(crate) fn wake(&mut self, tasks: Vec<TaskId>) {
        for task in tasks {
            let delay = self.span(WAKING);
            self.after(delay, Event::Poll(task));
        }
    }
}

/// The kernel, shared with tasks.
pub struct Shared<W>(pub Arc<Mutex<Kernel<W>>>);

impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<W> Shared<W> {
    /// Locks the kernel. Await nothing while it is locked.
    pub fn lock(&self) -> MutexGuard<'_, Kernel<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
