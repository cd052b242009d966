//! Time and events: what happens next is decided by the clock of the simulation and by its seed alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leases::Position;

use crate::clock::{Clock, MS};
use crate::database::{Database, Session};
use crate::profile::{LONGEST_LIFE_MS, Profile};
use crate::replica::Replica;
use crate::statement::Group;
use crate::tasks::TaskId;

mod transactions;

use transactions::Pending;

/// How often a replica asks the database whether another one made a change.
const POLL: u64 = 250 * MS;

/// How long a task of a replica takes to wake another one.
const WAKING: Range<u64> = 1..50;

/// What is still to happen.
pub enum Event<W> {
    /// A task may go on.
    Poll(TaskId),
    /// A transaction happens.
    Work(u64),
    /// The answer to a group of questions reaches a replica, in that start of it.
    GroupEnds(usize, u64, Group),
    /// A replica, in that start of it, is told how far the history goes.
    Notified(usize, u64, Position),
    /// A replica, in that start of it, asks how far the history goes.
    Asks(usize, u64),
    /// The database sees that a connection is dead.
    SessionEnds(Session),
    /// Something of the world's own.
    World(Box<W>),
}

/// When an event happens, and which one of that moment it is.
pub type Due = (u64, u64);

/// What tasks and the world share.
pub struct Kernel<W> {
    /// The true time, in microseconds.
    pub now: u64,
    /// Where all randomness comes from.
    pub random: fastrand::Rng,
    /// The faults.
    pub profile: Profile,
    /// The database.
    pub database: Database,
    /// The service's processes.
    pub replicas: Vec<Replica>,
    /// The task that is running.
    pub current: TaskId,
    events: BTreeMap<Due, Event<W>>,
    works: BTreeMap<u64, Pending>,
    next: u64,
}

impl<W> Kernel<W> {
    /// A kernel at time zero, with replicas that have just started.
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

    /// A number that nothing else has.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Lets something happen after a while; which event it is.
    pub fn after(&mut self, delay: u64, event: Event<W>) -> Due {
        let due = (self.now + delay, self.number());
        self.events.insert(due, event);
        due
    }

    /// Something need not happen any more.
    pub fn cancel(&mut self, due: Due) {
        self.events.remove(&due);
    }

    /// A random span.
    pub fn span(&mut self, range: Range<u64>) -> u64 {
        self.random.u64(range)
    }

    /// How long a transaction takes now: mostly not long, and sometimes long.
    fn database_delay(&mut self) -> u64 {
        let Range { start, end } = self.profile.database_delay;
        start + ((end - start) as f64 * self.random.f64().powi(3)) as u64
    }

    /// Whether something happens that does so many times in a thousand.
    pub fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.random.u32(..1_000) < thousandths
    }

    /// When a key ends that is made or changed now, by the database's clock: half of them never do.
    pub fn some_end(&mut self) -> Option<i64> {
        let life_ms = self.random.bool().then(|| self.random.u64(1..=LONGEST_LIFE_MS))?;
        Some(self.database.clock_ms(self.now) + life_ms as i64)
    }

    /// Moves the clock to the next event that concerns the world.
    pub fn next_event(&mut self) -> Option<Event<W>> {
        loop {
            let ((at, _), event) = self.events.pop_first()?;
            self.now = at;
            if let Some(left) = self.stands_still_for(&event) {
                self.after(left, event);
                continue;
            }
            match event {
                Event::GroupEnds(replica, generation, group) if self.runs(replica, generation) => {
                    self.end_group(replica, group);
                }
                Event::Notified(replica, generation, position) if self.runs(replica, generation) => {
                    self.tell(replica, &position);
                }
                Event::Asks(replica, generation) if self.runs(replica, generation) => self.ask(replica),
                Event::SessionEnds(session) => self.end_session(session),
                Event::GroupEnds(..) | Event::Notified(..) | Event::Asks(..) => {}
                Event::Poll(_) | Event::Work(_) | Event::World(_) => return Some(event),
            }
        }
    }

    /// How long until a replica goes on that an event concerns, if it stands still.
    fn stands_still_for(&self, event: &Event<W>) -> Option<u64> {
        let replica = match event {
            Event::Poll(task) => task.replica,
            Event::GroupEnds(replica, ..) | Event::Notified(replica, ..) | Event::Asks(replica, _) => {
                *replica
            }
            Event::Work(_) | Event::SessionEnds(_) | Event::World(_) => return None,
        };
        self.replicas[replica].stands_still_until?.checked_sub(self.now).filter(|left| *left > 0)
    }

    fn runs(&self, replica: usize, generation: u64) -> bool {
        self.replicas[replica].is_up && self.replicas[replica].generation == generation
    }

    /// A replica starts again, maybe with other terms.
    pub fn start(&mut self, replica: usize) {
        if let Some(other) = &mut self.profile.other_terms
            && self.random.bool()
        {
            std::mem::swap(other, &mut self.profile.terms[replica]);
        }
        self.replicas[replica].is_up = true;
        self.ask_later(replica);
    }

    fn ask_later(&mut self, replica: usize) {
        let generation = self.replicas[replica].generation;
        let delay = self.replicas[replica].clock.lasts(POLL);
        self.after(delay, Event::Asks(replica, generation));
    }

    fn ask(&mut self, replica: usize) {
        if self.database.is_up {
            self.connect(replica);
            let position = self.database.data.position.clone();
            self.tell(replica, &position);
        }
        self.ask_later(replica);
    }

    /// A replica uses the database: on a new connection it looks first whether anything was lost.
    fn connect(&mut self, replica: usize) {
        let lasts_ms = self.profile.terms[replica].lasts_ms();
        let connecting = &mut self.replicas[replica];
        if connecting.looked_over.replace(connecting.connection) != Some(connecting.connection) {
            self.database.connect(lasts_ms, &mut connecting.announced_in, self.now);
        }
    }

    /// A replica lowers what is waited for after a loss, if it is more than what the replicas grant.
    pub fn lower_longest(&mut self, replica: usize) {
        let is_awake = self.replicas[replica].is_up && self.replicas[replica].stands_still_until.is_none();
        if is_awake && self.database.is_up {
            self.connect(replica);
            let lasts_ms = self.profile.terms[replica].lasts_ms();
            self.database.lower_longest(lasts_ms, self.now);
        }
    }

    /// A replica hears how far the history goes.
    pub fn tell(&mut self, replica: usize, position: &Position) {
        let woken = self.replicas[replica].hear(position);
        self.wake(woken);
    }

    /// These tasks go on at once.
    pub fn wake(&mut self, tasks: Vec<TaskId>) {
        for task in tasks {
            let delay = self.span(WAKING);
            self.after(delay, Event::Poll(task));
        }
    }
}

/// A kernel that tasks can reach.
pub struct Shared<W>(pub Arc<Mutex<Kernel<W>>>);

impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<W> Shared<W> {
    /// The kernel itself; nothing is awaited while it is held.
    pub fn lock(&self) -> MutexGuard<'_, Kernel<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
