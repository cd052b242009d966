//! Everything together: clients, edges, the network, the service on its database, and the faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use key_service::leases::{Revocation, Terms};
use protocol::{ApiKey, KeyDigest};

use crate::database::{Key, Worth};
use crate::edges::{Call, Node, Reply};
use crate::kernel::{Event, Kernel, Shared, TaskId, Tasks};
use crate::oracle::{Oracle, Violation};
use crate::profile::{MS, Profile};

mod clients;
mod faults;
mod network;
mod service;

/// How long everything may take to come to rest once the last outage is over: the longest that a change can wait, and
/// then some.
const REST: u64 = 10_000 * MS;

/// How long the requests may take that are sent to every edge when all is well again.
const LAST_REQUESTS: u64 = 3_000 * MS;

/// No change is begun while more than these are under way: a slow database would never come to rest.
const MOST_CHANGES: usize = 8;

/// How many users and keys there are at the start.
const USERS: usize = 2;
const KEYS: usize = 5;

/// What happens besides the service's own work.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Somebody sends a request.
    Request,
    /// A request that came at that moment reaches an edge, with one of the values there ever were.
    Arrives(usize, usize, u64),
    /// Somebody changes something.
    Change,
    /// Something goes down.
    Outage,
    /// The service starts again.
    ServiceStarts,
    /// An edge's proxy looks whether something is due.
    Pump(usize, u64),
    /// A question reaches the service.
    Asked(usize, u64, Call, bool),
    /// An answer, or the lack of one, reaches an edge.
    Answered(usize, u64, u32, Option<Reply>),
    /// A question or answer to an edge travels no more.
    Reconnect(usize),
    /// An edge goes on after it stood still.
    Continues(usize, u64),
}

/// What a task of the service has made.
enum Made {
    Answer {
        edge: usize,
        generation: u64,
        call: u32,
        reply: Option<Reply>,
        is_duplicate: bool,
    },
    /// `covers` is when the last change was committed that is in force with this one.
    Change {
        covers: u64,
        revocation: Option<Revocation>,
        told: Option<KeyDigest>,
    },
}

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Requests decided from memory or by an answer.
    pub decided: u64,
    /// Of these, requests whose key was accepted.
    pub accepted: u64,
    /// Requests that nobody could decide.
    pub unavailable: u64,
    /// Changes that returned.
    pub changes: u64,
    /// Changes that at least one edge had to acknowledge.
    pub acknowledged: u64,
    /// Changes that at least one lease had to run out for.
    pub expired: u64,
}

impl Summary {
    /// Adds another run's numbers.
    pub fn add(&mut self, other: &Summary) {
        self.simulated_ms += other.simulated_ms;
        self.decided += other.decided;
        self.accepted += other.accepted;
        self.unavailable += other.unavailable;
        self.changes += other.changes;
        self.acknowledged += other.acknowledged;
        self.expired += other.expired;
    }
}

/// One history under way.
pub struct World {
    shared: Shared<Happening>,
    terms: Terms,
    nodes: Vec<Node>,
    cut_off: BTreeMap<usize, CutOff>,
    tasks: Tasks<Made>,
    service_is_up: bool,
    rests: bool,
    asks_last: bool,
    oracle: Oracle,
    /// All values there ever were, the key each belongs or belonged to, and its digest.
    values: Vec<(String, String, KeyDigest)>,
    /// Those that somebody was told, as places in `values`: nobody can send another.
    known: Vec<usize>,
    /// Changes under way: since when.
    changing: BTreeMap<TaskId, u64>,
    calm: bool,
    summary: Summary,
}

/// What of an edge's messages is lost for a while.
#[derive(Clone, Copy, Debug)]
enum CutOff {
    Everything,
    Syncs,
}

type Checked = Result<(), String>;

impl World {
    /// A world whose service and edges have just started.
    pub fn new(profile: Profile) -> Self {
        let calm = profile.is_calm();
        let (edges, drift) = (profile.edges, profile.drift);
        let mut kernel = Kernel::new(profile);
        let nodes =
            (0..edges).filter_map(|number| Node::start(number, 0, &mut kernel.random, drift)).collect();
        let mut world = World {
            shared: Shared(Arc::new(Mutex::new(kernel))),
            terms: Terms::default(),
            nodes,
            cut_off: BTreeMap::new(),
            tasks: Tasks::default(),
            service_is_up: true,
            rests: false,
            asks_last: false,
            oracle: Oracle::default(),
            values: Vec::new(),
            known: Vec::new(),
            changing: BTreeMap::new(),
            calm,
            summary: Summary::default(),
        };
        (0..KEYS).for_each(|number| world.create_key(number % USERS));
        world
    }

    fn kernel(&self) -> std::sync::MutexGuard<'_, Kernel<Happening>> {
        self.shared.lock()
    }

    fn happen_after(&self, delay: u64, happening: Happening) {
        self.kernel().after(delay, Event::World(Box::new(happening)));
    }

    fn new_value(&mut self, key_id: &str) -> KeyDigest {
        let entropy = std::array::from_fn(|_| self.kernel().random.u8(..));
        let value = ApiKey::from_entropy(entropy);
        let now = self.kernel().now;
        self.values.push((value.reveal().to_owned(), key_id.to_owned(), value.digest()));
        self.oracle.committed(value.digest(), Worth::Nothing, now);
        value.digest()
    }

    /// A new key needs no revision: nobody can have asked about it.
    fn create_key(&mut self, user: usize) {
        let id = format!("key-{}", self.values.len());
        let digest = self.new_value(&id);
        self.known.push(self.values.len() - 1);
        let mut kernel = self.kernel();
        let now = kernel.now;
        kernel.database.keys.insert(id, Key { user, digest, may_read: true });
        let worth = kernel.database.worth(&digest);
        drop(kernel);
        self.oracle.committed(digest, worth, now);
        // Its value is told once it is in force: from now on it is not nothing.
        self.oracle.returned(&[digest], now, now);
    }

    /// Runs until its time is over and everything has come to rest.
    ///
    /// # Errors
    /// The first thing that must not happen.
    pub fn run(mut self) -> Result<Summary, Violation> {
        let outcome = self.run_to_rest();
        let kernel = self.kernel();
        let (seed, at_ms) = (kernel.profile.seed, kernel.now / MS);
        drop(kernel);
        self.summary.simulated_ms = at_ms;
        outcome.map(|()| self.summary).map_err(|what| Violation { seed, at_ms, what })
    }

    fn run_to_rest(&mut self) -> Checked {
        self.happen_after(0, Happening::Request);
        self.happen_after(1, Happening::Change);
        let outage = self.kernel().profile.outage_gap.clone();
        if let Some(gap) = outage {
            let delay = self.kernel().span(gap);
            self.happen_after(delay, Happening::Outage);
        }
        let (duration, at_rest) = {
            let profile = &self.kernel().profile;
            let longest_outage = profile.outage_gap.as_ref().map_or(0, |_| profile.outage.end);
            (profile.duration, profile.duration + longest_outage + REST)
        };
        loop {
            let (event, now) = {
                let mut kernel = self.kernel();
                let event = kernel.next_event();
                (event, kernel.now)
            };
            let Some(event) = event else { break };
            if now > duration && !self.rests {
                self.come_to_rest();
            }
            if now > at_rest + LAST_REQUESTS {
                break;
            }
            if now > at_rest && !self.asks_last {
                self.ask_last();
            }
            match event {
                Event::Poll(task) => self.poll(task)?,
                Event::Work(number) => {
                    self.kernel().perform(number);
                    self.observe_commits();
                }
                Event::World(happening) => self.happen(*happening)?,
            }
        }
        let waiting: usize = self.nodes.iter().map(Node::waiting).sum();
        match (waiting, self.changing.len()) {
            (0, 0) => Ok(()),
            (waiting, changes) => Err(format!("at rest {waiting} requests and {changes} changes still wait")),
        }
    }

    /// No more clients and faults, so that everything under way can end.
    fn come_to_rest(&mut self) {
        self.rests = true;
        self.cut_off.clear();
        let mut kernel = self.kernel();
        kernel.profile.losses = Default::default();
        kernel.profile.outage_gap = None;
        // Answers come in time from now on.
        kernel.profile.verify_delay = 50..40 * MS;
        kernel.profile.sync_delay = 50..40 * MS;
        kernel.profile.database_delay = 20..5 * MS;
    }

    /// When everything is well again, every edge must know of every value what it is worth.
    fn ask_last(&mut self) {
        self.asks_last = true;
        let now = self.kernel().now;
        for edge in 0..self.nodes.len() {
            // As many as an edge may look up at once.
            for at in self.known.iter().rev().take(7).copied().collect::<Vec<_>>() {
                self.happen_after(0, Happening::Arrives(edge, at, now));
            }
        }
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Request => {
                self.request();
                Ok(())
            }
            Happening::Arrives(edge, at, arrived) => self.arrives(edge, at, arrived),
            Happening::Change => self.change(),
            Happening::Outage => self.outage(),
            Happening::ServiceStarts => {
                self.service_is_up = true;
                Ok(())
            }
            Happening::Pump(edge, generation) => {
                if self.nodes[edge].generation == generation && !self.stands_still(edge) {
                    self.pump(edge, true);
                }
                Ok(())
            }
            Happening::Asked(edge, generation, call, is_duplicate) => {
                self.asked(edge, generation, call, is_duplicate);
                Ok(())
            }
            Happening::Answered(edge, generation, call, reply) => {
                self.answered(edge, generation, call, reply)
            }
            Happening::Reconnect(edge) => {
                self.cut_off.remove(&edge);
                Ok(())
            }
            Happening::Continues(edge, generation) => {
                if self.nodes[edge].generation == generation
                    && self.nodes[edge].stands_still_until.take().is_some()
                {
                    self.pump(edge, true);
                }
                Ok(())
            }
        }
    }
}
