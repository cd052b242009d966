//! Everything together: clients, edges, network, replicas, database and faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use protocol::{ApiKey, KeyDigest};

use crate::clock::MS;
use crate::database::{Key, Standing, User};
use crate::edges::Node;
use crate::kernel::{Event, Kernel, Shared};
use crate::oracle::{Oracle, Violation};
use crate::profile::Profile;
use crate::summary::Summary;
use crate::tasks::{TaskId, Tasks};

mod change;
mod changes;
mod clients;
mod faults;
mod network;
mod service;
mod world_event;

use change::Intent;
pub(crate) use world_event::WorldEvent;
use world_event::{Checked, CutOff, Made};

/// How long everything may take to come to rest after the last outage, beyond the longest wait of a change.
const REST: u64 = 3_000 * MS;

/// How long the last requests may take.
const LAST_REQUESTS: u64 = 3_000 * MS;

/// The most pending changes; with more, a slow database would never come to rest.
const MOST_CHANGES: usize = 8;

/// How often each replica checks whether its leases are shorter than the longest.
const LOWERING_GAP: u64 = 1_000 * MS;

/// How many users and keys there are at the start.
const USERS: usize = 2;
const KEYS: usize = 5;

/// One run.
pub struct World {
    shared: Shared<WorldEvent>,
    nodes: Vec<Node>,
    cut_off: BTreeMap<usize, CutOff>,
    tasks: Tasks<Made>,
    rests: bool,
    asks_last: bool,
    has_ended: bool,
    oracle: Oracle,
    /// All values so far: the value, the id of its key, its digest.
    values: Vec<(String, String, KeyDigest)>,
    /// The values that clients know, as indexes of `values`.
    known: Vec<usize>,
    /// Pending changes.
    changing: BTreeMap<TaskId, Intent>,
    /// How many changes will be repeated.
    repeating: usize,
    /// The latest revision that each edge has acknowledged, by edge and epoch.
    acknowledged: BTreeMap<(String, String), u64>,
    /// When the last outage of a replica or of the database ends.
    disturbed_until: u64,
    /// The longest delay of a transaction before everything comes to rest, in microseconds.
    slowest_transaction: u64,
    calm: bool,
    summary: Summary,
}

impl World {
    /// A world whose replicas and edges have just started.
    pub(crate) fn new(profile: Profile) -> Self {
        let calm = profile.is_calm();
        let (oracle, crowd) = (Oracle::new(&profile), profile.crowd);
        let slowest_transaction = profile.database_delay.end;
        let mut kernel = Kernel::new(profile);
        let Kernel { random, profile, .. } = &mut kernel;
        let nodes = (0..profile.edges).filter_map(|number| Node::start(number, 0, random, profile)).collect();
        let mut world = World {
            shared: Shared(Arc::new(Mutex::new(kernel))),
            nodes,
            cut_off: BTreeMap::new(),
            tasks: Tasks::default(),
            rests: false,
            asks_last: false,
            has_ended: false,
            oracle,
            values: Vec::new(),
            known: Vec::new(),
            changing: BTreeMap::new(),
            repeating: 0,
            acknowledged: BTreeMap::new(),
            disturbed_until: 0,
            slowest_transaction,
            calm,
            summary: Summary::default(),
        };
        let users = (0..USERS).map(|user| (user.to_string(), User::default())).collect();
        let in_the_crowd = |number: usize| {
            let id = format!("of-the-crowd-{number}");
            let digest = KeyDigest::of_value(&id);
            (id, Key::new("0", digest))
        };
        world.kernel().database.data.users = users;
        world.kernel().database.data.keys.extend((0..crowd).map(in_the_crowd));
        (0..KEYS).for_each(|number| world.create_key(number % USERS));
        world
    }

    fn kernel(&self) -> std::sync::MutexGuard<'_, Kernel<WorldEvent>> {
        self.shared.lock()
    }

    fn schedule(&self, delay: u64, event: WorldEvent) {
        self.kernel().after(delay, Event::World(Box::new(event)));
    }

    fn new_value(&mut self, key_id: &str) -> KeyDigest {
        let entropy = std::array::from_fn(|_| self.kernel().random.u8(..));
        let value = ApiKey::from_entropy(entropy);
        let now = self.kernel().now;
        self.values.push((value.reveal().to_owned(), key_id.to_owned(), value.digest()));
        self.oracle.committed(value.digest(), Standing::default(), now);
        value.digest()
    }

    /// A new key needs no revision, because no edge can have looked it up. A new user takes the place of a deleted one.
    fn create_key(&mut self, user: usize) {
        let id = format!("key-{}", self.values.len());
        let digest = self.new_value(&id);
        self.known.push(self.values.len() - 1);
        let mut kernel = self.kernel();
        let now = kernel.now;
        let mut key = Key::new(&user.to_string(), digest);
        key.expires_at_ms = kernel.some_end();
        kernel.database.data.users.entry(user.to_string()).or_default();
        kernel.database.data.keys.insert(id, key);
        let standing = kernel.database.data.standing(&digest);
        drop(kernel);
        self.oracle.committed(digest, standing, now);
        // Clients learn the value when it is valid, so the standing without it is over.
        self.oracle.returned(&[digest], now, now);
    }

    /// Runs until everything has come to rest after the end.
    ///
    /// # Errors
    /// The first violation.
    pub(crate) fn run(mut self) -> Result<Summary, Violation> {
        let outcome = self.run_to_rest();
        let kernel = self.kernel();
        let (seed, at_ms) = (kernel.profile.seed, kernel.now / MS);
        drop(kernel);
        self.summary.simulated_ms = at_ms;
        outcome.map(|()| self.summary).map_err(|what| Violation { seed, at_ms, what })
    }

    fn run_to_rest(&mut self) -> Checked {
        self.schedule(0, WorldEvent::Request);
        self.schedule(1, WorldEvent::Change);
        self.schedule(0, WorldEvent::Prune);
        self.schedule(LOWERING_GAP, WorldEvent::LowerLongest);
        self.schedule(0, WorldEvent::Outage);
        let (duration, at_rest) = {
            let profile = &self.kernel().profile;
            let has_outages = profile.outage_gap.is_some() || profile.strikes.is_some();
            let longest_outage = if has_outages { profile.outage.end } else { 0 };
            let longest_wait = profile.longest_lease_ms() * MS * 11 / 10;
            (profile.duration, profile.duration + longest_outage + longest_wait + REST)
        };
        self.schedule(duration, WorldEvent::ComesToRest);
        self.schedule(at_rest, WorldEvent::LastRequests);
        self.schedule(at_rest + LAST_REQUESTS, WorldEvent::End);
        while !self.has_ended {
            let event = self.kernel().next_event();
            let Some(event) = event else { break };
            match event {
                Event::Poll(task) => self.poll(task)?,
                Event::Work(number) => {
                    self.kernel().perform(number);
                    self.observe_commits();
                }
                Event::World(event) => self.handle(*event)?,
                // The kernel handles the others.
                _ => {}
            }
        }
        let waiting: usize = self.nodes.iter().map(Node::waiting).sum();
        match (waiting, self.changing.len() + self.repeating) {
            (0, 0) => Ok(()),
            (waiting, changes) => Err(format!("at rest {waiting} requests and {changes} changes still wait")),
        }
    }

    /// Stops clients and faults, so that everything pending can end.
    fn come_to_rest(&mut self) {
        self.rests = true;
        self.cut_off.clear();
        let mut kernel = self.kernel();
        kernel.profile.losses = Default::default();
        kernel.profile.outage_gap = None;
        kernel.profile.strikes = None;
        // From now on, answers arrive before timeouts.
        kernel.profile.verify_delay = 50..40 * MS;
        kernel.profile.sync_delay = 50..40 * MS;
        kernel.profile.database_delay = 20..5 * MS;
    }

    /// After all faults, every edge must decide every value right.
    fn send_last_requests(&mut self) {
        self.asks_last = true;
        let now = self.kernel().now;
        for edge in 0..self.nodes.len() {
            // As many lookups as an edge may have outstanding.
            for at in self.known.iter().rev().take(7).copied().collect::<Vec<_>>() {
                self.schedule(0, WorldEvent::Arrives(edge, at, now));
            }
        }
    }

    fn handle(&mut self, event: WorldEvent) -> Checked {
        match event {
            WorldEvent::Arrives(edge, at, arrived) => return self.arrives(edge, at, arrived),
            WorldEvent::Answered(edge, generation, callout, reply) => {
                return self.answered(edge, generation, callout, reply);
            }
            WorldEvent::Request => self.request(),
            WorldEvent::Change => self.change(),
            WorldEvent::Repeats(intent) => self.repeat(intent),
            WorldEvent::Prune => self.prune(),
            WorldEvent::LowerLongest => self.lower_longest(),
            WorldEvent::Outage => self.outage(),
            WorldEvent::ReplicaEnds(replica, generation, away) => {
                self.replica_ends(replica, generation, away);
            }
            WorldEvent::ReplicaStarts(replica) => self.kernel().start(replica),
            WorldEvent::ReplicaResumes(replica) => self.kernel().replicas[replica].paused_until = None,
            WorldEvent::DatabaseStarts => self.kernel().database.is_up = true,
            WorldEvent::Pump(edge, generation) => {
                if self.nodes[edge].generation == generation && !self.is_paused(edge) {
                    return self.pump(edge, true);
                }
            }
            WorldEvent::CalloutArrives(edge, generation, callout, is_duplicate) => {
                self.callout_arrived(edge, generation, callout, is_duplicate);
            }
            WorldEvent::Reconnect(edge) => drop(self.cut_off.remove(&edge)),
            WorldEvent::EdgeResumes(edge, generation) => {
                if self.nodes[edge].generation == generation && self.nodes[edge].paused_until.take().is_some()
                {
                    return self.pump(edge, true);
                }
            }
            WorldEvent::ComesToRest => self.come_to_rest(),
            WorldEvent::LastRequests => self.send_last_requests(),
            WorldEvent::End => self.has_ended = true,
        }
        Ok(())
    }
}
