//! Time, events and tasks: what happens next is decided by the clock of the simulation and by its seed alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::database::State;
use crate::profile::Profile;

/// A task of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// A step of a transaction, or of waiting for one, that happens later.
type Work = Box<dyn FnOnce(&mut State, u64) -> Done + Send>;

/// What came of a step of a transaction.
pub enum Done {
    /// The task that waits for it goes on.
    Ready,
    /// It waits for something else, which will make it go on.
    Blocked,
}

/// What is still to happen.
pub enum Event<W> {
    /// A task may go on.
    Poll(TaskId),
    /// A transaction happens.
    Work(u64),
    /// Something of the world's own.
    World(Box<W>),
}

struct Pending {
    task: TaskId,
    survives_crash: bool,
    work: Work,
}

/// What tasks and the world share.
pub struct Kernel<W> {
    /// The true time, in microseconds.
    pub now: u64,
    /// Where all randomness comes from.
    pub random: fastrand::Rng,
    /// The faults.
    pub profile: Profile,
    /// The database.
    pub database: State,
    /// The task that is running.
    pub current: TaskId,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event<W>>,
    works: BTreeMap<u64, Pending>,
    next: u64,
}

impl<W> Kernel<W> {
    /// A kernel at time zero.
    pub fn new(profile: Profile) -> Self {
        let mut random = fastrand::Rng::with_seed(profile.seed ^ 0x5eed);
        let database = State::new(&mut random, profile.drift);
        Kernel {
            now: 0,
            random,
            profile,
            database,
            current: TaskId(0),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            works: BTreeMap::new(),
            next: 0,
        }
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, delay: u64, event: Event<W>) {
        self.next += 1;
        self.queue.push(Reverse((self.now + delay, self.next)));
        self.events.insert(self.next, event);
    }

    /// A random span.
    pub fn span(&mut self, range: Range<u64>) -> u64 {
        self.random.u64(range)
    }

    /// Moves the clock to the next event.
    pub fn next_event(&mut self) -> Option<Event<W>> {
        let Reverse((at, number)) = self.queue.pop()?;
        self.now = at;
        self.events.remove(&number)
    }

    /// Lets a transaction of the current task happen after a while.
    pub fn transact(&mut self, survives_crash: bool, work: Work) {
        let delay = self.span(self.profile.database_delay.clone());
        self.next += 1;
        let (number, task) = (self.next, self.current);
        self.works.insert(number, Pending { task, survives_crash, work });
        self.after(delay, Event::Work(number));
    }

    /// A transaction happens now, unless its process died before.
    pub fn perform(&mut self, number: u64) {
        let Some(Pending { task, work, .. }) = self.works.remove(&number) else { return };
        let outcome = work(&mut self.database, self.now);
        if let Done::Ready = outcome {
            let delay = self.span(self.profile.database_delay.clone());
            self.after(delay, Event::Poll(task));
        }
        self.wake_unblocked();
    }

    /// Lets the transaction happen that a task waits for; false if it waits for none.
    pub fn perform_next_of(&mut self, task: TaskId) -> bool {
        let next = self.works.iter().find(|(_, pending)| pending.task == task).map(|(number, _)| *number);
        next.into_iter().for_each(|number| self.perform(number));
        next.is_some()
    }

    /// Lets tasks go on that a transaction has unblocked.
    pub fn wake_unblocked(&mut self) {
        for task in std::mem::take(&mut self.database.unblocked) {
            let delay = self.span(self.profile.database_delay.clone());
            self.after(delay, Event::Poll(task));
        }
        for task in std::mem::take(&mut self.database.woken) {
            let delay = self.span(self.profile.news_delay.clone());
            self.after(delay, Event::Poll(task));
        }
    }

    /// The service's process dies: its transactions never happen, but for commits that were on their way already, half
    /// of the time.
    pub fn crash(&mut self) {
        let doomed: Vec<u64> = self
            .works
            .iter()
            .filter(|(_, pending)| !pending.survives_crash)
            .map(|(number, _)| *number)
            .collect();
        doomed.iter().for_each(|number| drop(self.works.remove(number)));
        let on_their_way: Vec<u64> = self.works.keys().copied().collect();
        for number in on_their_way {
            if self.random.bool() {
                self.works.remove(&number);
            } else {
                self.perform(number);
            }
        }
        self.database.roll_back();
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

/// Tasks that are under way, each with what it makes.
pub struct Tasks<T> {
    tasks: BTreeMap<TaskId, Pin<Box<dyn Future<Output = T>>>>,
    next: u64,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Tasks { tasks: BTreeMap::new(), next: 0 }
    }
}

impl<T> Tasks<T> {
    /// Adds a task; it does nothing until it is polled.
    pub fn add(&mut self, task: impl Future<Output = T> + 'static) -> TaskId {
        self.next += 1;
        let id = TaskId(self.next);
        self.tasks.insert(id, Box::pin(task));
        id
    }

    /// Lets a task go on; what it made if it has ended.
    pub fn poll<W>(&mut self, id: TaskId, shared: &Shared<W>) -> Option<T> {
        let task = self.tasks.get_mut(&id)?;
        shared.lock().current = id;
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(made) => {
                self.tasks.remove(&id);
                Some(made)
            }
            Poll::Pending => None,
        }
    }

    /// Ends all tasks where they are.
    pub fn kill(&mut self) {
        self.tasks.clear();
    }
}
