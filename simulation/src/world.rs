//! Everything together: clients, edges, the network, the service on its database, and the faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use key_service::leases::{Revocation, Terms, Touched, change, sync, verify};
use protocol::{ApiKey, KeyDigest};

use crate::database::{Effect, Key, SimulatedLedger, Worth};
use crate::edges::{Call, Decided, Node, Question, Reply};
use crate::kernel::{Event, Kernel, Shared, TaskId, Tasks};
use crate::oracle::{Oracle, Outcome, Violation};
use crate::profile::{MS, Profile};

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

    // ---- clients ----

    fn request(&mut self) {
        if self.rests {
            return;
        }
        let (edges, values) = (self.nodes.len(), self.known.len());
        let mut kernel = self.kernel();
        // Mostly one of the newest values, and long revoked ones now and then.
        let among = if kernel.random.u32(..4) > 0 { values.min(KEYS + 3) } else { values };
        let at = self.known[values - 1 - kernel.random.usize(..among)];
        let (edge, now) = (kernel.random.usize(..edges), kernel.now);
        let gap = kernel.profile.request_gap.clone();
        let gap = kernel.span(gap);
        kernel.after(gap, Event::World(Box::new(Happening::Request)));
        kernel.after(0, Event::World(Box::new(Happening::Arrives(edge, at, now))));
    }

    fn arrives(&mut self, edge: usize, at: usize, arrived: u64) -> Checked {
        let happening = Happening::Arrives(edge, at, arrived);
        if self.waits_for(edge, happening) {
            return Ok(());
        }
        let now = self.kernel().now;
        let decided = self.nodes[edge].arrive(&self.values[at].0, arrived, now);
        self.judge(decided)?;
        let leaves = self.kernel().random.u32(..50) == 0;
        if leaves {
            let mut kernel = self.shared.lock();
            self.nodes[edge].leave_one(&mut kernel.random);
        }
        self.nodes[edge].check_bounds()?;
        self.pump(edge, false);
        Ok(())
    }

    /// Whether an edge stands still; then this happens when it goes on.
    fn waits_for(&self, edge: usize, happening: Happening) -> bool {
        let Some((until, _)) = self.nodes[edge].stands_still_until else { return false };
        let left = until.saturating_sub(self.kernel().now) + 1;
        self.happen_after(left, happening);
        true
    }

    fn judge(&mut self, decided: impl IntoIterator<Item = Decided>) -> Checked {
        let now = self.kernel().now;
        for Decided { digest, arrived, outcome } in decided {
            match outcome {
                Outcome::Unavailable => {
                    self.summary.unavailable += 1;
                    if self.calm || self.asks_last {
                        return Err("a request was not served though nothing had failed".to_owned());
                    }
                }
                Outcome::Decided(found) => {
                    self.summary.decided += 1;
                    self.summary.accepted += u64::from(found == Worth::Good);
                    self.oracle.judge(&digest, arrived, found, now)?;
                }
            }
        }
        Ok(())
    }

    fn change(&mut self) -> Checked {
        if self.rests {
            return Ok(());
        }
        let gap = self.kernel().profile.change_gap.clone();
        let gap = self.kernel().span(gap);
        self.happen_after(gap, Happening::Change);
        let (keys, is_locked) = {
            let database = &self.kernel().database;
            (database.keys.len(), database.is_locked())
        };
        // Creating a key writes too, so it waits for a change that has begun: a user who is being disabled gets none.
        if keys < KEYS && !is_locked {
            let user = self.kernel().random.usize(..USERS);
            self.create_key(user);
        }
        if !self.service_is_up || self.changing.len() > MOST_CHANGES {
            return Ok(());
        }
        // Now and then two at once, of the same key.
        let twice = self.kernel().random.u32(..4) == 0;
        let at = {
            let newest = self.values.len().min(KEYS + 3);
            self.values.len() - 1 - self.kernel().random.usize(..newest)
        };
        for _ in 0..=u32::from(twice) {
            self.change_key(at);
        }
        Ok(())
    }

    fn change_key(&mut self, at: usize) {
        let id = self.values[at].1.clone();
        let kind = self.kernel().random.u32(..10);
        let user = self.kernel().random.usize(..USERS);
        let truth = self.kernel().random.u32(..3) > 0;
        let (touched, effect) = match kind {
            0..=3 => (Touched::Key(id.clone()), Effect::Delete(id)),
            4..=6 => {
                let digest = self.new_value(&id);
                (Touched::Key(id.clone()), Effect::Roll(id, digest))
            }
            7..=8 => (Touched::Key(id.clone()), Effect::Scope(id, truth)),
            _ => (Touched::User(user.to_string()), Effect::Enable(user, truth)),
        };
        let told = match &effect {
            Effect::Roll(_, digest) => Some(*digest),
            _ => None,
        };
        let began = self.kernel().now;
        let ledger = SimulatedLedger(self.shared.clone());
        let task = self.tasks.add(async move {
            let Ok(mut begun) = change::begin(&ledger, &touched).await;
            let key = match &effect {
                Effect::Delete(id) | Effect::Roll(id, _) | Effect::Scope(id, _) => Some(id.clone()),
                Effect::Enable(..) => None,
            };
            let is_there = key.is_none_or(|id| begun.change().has_key(&id));
            if is_there {
                begun.change().effect = Some(effect);
                let Ok(revocation) = begun.commit().await;
                let covers = ledger.0.lock().database.committed_at(revocation.revision);
                Made::Change { covers, revocation: Some(revocation), told }
            } else {
                // It holds the lock, so whatever made it so was committed before.
                let covers = ledger.0.lock().now;
                let Ok(()) = begun.already_so().await;
                Made::Change { covers, revocation: None, told: None }
            }
        });
        self.changing.insert(task, began);
        self.kernel().after(0, Event::Poll(task));
    }

    /// Tells the oracle what has just been committed.
    fn observe_commits(&mut self) {
        let committed = std::mem::take(&mut self.kernel().database.committed);
        if committed.is_empty() {
            return;
        }
        for (_, digest) in self.values.iter().map(|(_, key, digest)| (key, *digest)) {
            let (worth, now) = {
                let kernel = self.kernel();
                (kernel.database.worth(&digest), kernel.now)
            };
            self.oracle.committed(digest, worth, now);
        }
    }

    fn changed(&mut self, task: TaskId, covers: u64, revocation: Option<Revocation>) -> Checked {
        self.changing.remove(&task);
        let (now, slowest) = {
            let kernel = self.kernel();
            (kernel.now, kernel.profile.database_delay.end)
        };
        // Whoever has acknowledged a revision has applied every one up to it.
        let all: Vec<KeyDigest> = self.values.iter().map(|value| value.2).collect();
        self.oracle.returned(&all, covers, now);
        self.summary.changes += 1;
        let Some(revocation) = revocation else { return Ok(()) };
        self.summary.acknowledged += u64::from(revocation.acknowledged > 0);
        self.summary.expired += u64::from(revocation.expired > 0);
        let longest = (self.terms.lease_ms + self.terms.margin_ms) * MS;
        // Clocks run differently, and each look at the leases takes its time.
        let allowed = longest + longest / 10 + 8 * slowest + 500 * MS;
        if revocation.elapsed_ms * MS > allowed {
            return Err(format!("a change took {} ms to return after its commit", revocation.elapsed_ms));
        }
        Ok(())
    }

    // ---- the service ----

    fn poll(&mut self, task: TaskId) -> Checked {
        let Some(made) = self.tasks.poll(task, &self.shared) else { return Ok(()) };
        match made {
            Made::Change { covers, revocation, told } => {
                let is_told = |value: &&(String, String, KeyDigest)| Some(value.2) == told;
                self.known.extend(self.values.iter().position(|value| is_told(&value)));
                self.changed(task, covers, revocation)
            }
            Made::Answer { edge, generation, call, reply, is_duplicate } => {
                if !is_duplicate {
                    self.send_back(edge, generation, call, reply);
                }
                Ok(())
            }
        }
    }

    fn asked(&mut self, edge: usize, generation: u64, call: Call, is_duplicate: bool) {
        if !self.service_is_up {
            // The connection is refused, which the proxy notices at once.
            self.send_back(edge, generation, call.id, None);
            return;
        }
        let ledger = SimulatedLedger(self.shared.clone());
        let (id, terms) = (call.id, self.terms);
        let task = match call.question {
            Question::Verify(request) => self.tasks.add(async move {
                let Ok(response) = verify::answer(&ledger, &request).await;
                Made::Answer {
                    edge,
                    generation,
                    call: id,
                    reply: Some(Reply::Verify(response)),
                    is_duplicate,
                }
            }),
            Question::Sync(request) => self.tasks.add(async move {
                let Ok(response) = sync::answer(&ledger, terms, &request).await;
                Made::Answer { edge, generation, call: id, reply: Some(Reply::Sync(response)), is_duplicate }
            }),
        };
        self.kernel().after(0, Event::Poll(task));
    }

    // ---- the network ----

    /// Whether something of this kind, on its way to or from this edge, is lost.
    fn is_lost(&self, edge: usize, is_sync: bool, thousandths: u32) -> bool {
        let by_cut = match self.cut_off.get(&edge) {
            Some(CutOff::Everything) => true,
            Some(CutOff::Syncs) => is_sync,
            None => false,
        };
        by_cut || self.kernel().random.u32(..1_000) < thousandths
    }

    fn delay(&self, is_sync: bool) -> u64 {
        let mut kernel = self.kernel();
        let range =
            if is_sync { kernel.profile.sync_delay.clone() } else { kernel.profile.verify_delay.clone() };
        kernel.span(range)
    }

    /// Sends what an edge's proxy has to send; `is_timer` says that its timer has run out.
    fn pump(&mut self, edge: usize, is_timer: bool) {
        let now = self.kernel().now;
        let generation = self.nodes[edge].generation;
        let (calls, due) = self.nodes[edge].pump(now);
        for call in calls {
            let losses = self.kernel().profile.losses;
            let is_sync = matches!(call.question, Question::Sync(_));
            self.happen_after(call.timeout, Happening::Answered(edge, generation, call.id, None));
            let thousandths = if is_sync { losses.sync_requests } else { losses.verify_requests };
            if self.is_lost(edge, is_sync, thousandths) {
                continue;
            }
            if self.kernel().random.u32(..1_000) < losses.duplicates {
                let delay = self.delay(is_sync) * 3;
                self.happen_after(delay, Happening::Asked(edge, generation, call.clone(), true));
            }
            let delay = self.delay(is_sync);
            self.happen_after(delay, Happening::Asked(edge, generation, call, false));
        }
        if let Some(due) = due
            && (is_timer || due <= MS)
        {
            self.happen_after(due, Happening::Pump(edge, generation));
        }
    }

    fn send_back(&mut self, edge: usize, generation: u64, call: u32, reply: Option<Reply>) {
        let losses = self.kernel().profile.losses;
        let is_sync = matches!(reply, Some(Reply::Sync(_)));
        let thousandths = if is_sync { losses.sync_answers } else { losses.verify_answers };
        if reply.is_some() && self.is_lost(edge, is_sync, thousandths) {
            return;
        }
        let delay = self.delay(is_sync);
        self.happen_after(delay, Happening::Answered(edge, generation, call, reply));
    }

    fn answered(&mut self, edge: usize, generation: u64, call: u32, reply: Option<Reply>) -> Checked {
        if self.nodes[edge].generation != generation {
            return Ok(());
        }
        if self.waits_for(edge, Happening::Answered(edge, generation, call, reply.clone())) {
            return Ok(());
        }
        let now = self.kernel().now;
        let decided = self.nodes[edge].ended(call, reply, now)?;
        self.judge(decided)?;
        self.pump(edge, true);
        Ok(())
    }

    fn stands_still(&self, edge: usize) -> bool {
        self.nodes[edge].stands_still_until.is_some()
    }

    // ---- faults ----

    fn outage(&mut self) -> Checked {
        if self.rests {
            return Ok(());
        }
        let (edge, lasts, kind, gap, now, drift) = {
            let edges = self.nodes.len();
            let mut kernel = self.kernel();
            let profile = kernel.profile.clone();
            let lasts = kernel.span(profile.outage.clone());
            let gap = kernel.span(profile.outage_gap.unwrap_or(MS..2 * MS));
            let weights: u32 = profile.outage_weights.iter().sum();
            let mut at = kernel.random.u32(..weights);
            let kind = profile.outage_weights.iter().position(|&weight| {
                let found = at < weight;
                at = at.saturating_sub(weight);
                found
            });
            (kernel.random.usize(..edges), lasts, kind.unwrap_or_default(), gap, kernel.now, profile.drift)
        };
        self.happen_after(gap, Happening::Outage);
        match kind {
            0 | 1 => {
                self.cut_off.insert(edge, if kind == 0 { CutOff::Everything } else { CutOff::Syncs });
                self.happen_after(lasts, Happening::Reconnect(edge));
            }
            2 | 3 if !self.stands_still(edge) => {
                let is_suspended = kind == 3;
                self.nodes[edge].stands_still_until = Some((now + lasts, is_suspended));
                if is_suspended {
                    self.nodes[edge].was_suspended(lasts);
                }
                let generation = self.nodes[edge].generation;
                self.happen_after(lasts, Happening::Continues(edge, generation));
            }
            4 => {
                let generation = self.nodes[edge].generation + 1;
                let mut kernel = self.shared.lock();
                if let Some(node) = Node::start(edge, generation, &mut kernel.random, drift) {
                    self.nodes[edge] = node;
                }
            }
            5 | 6 if self.service_is_up => {
                self.service_is_up = false;
                self.tasks.kill();
                self.changing.clear();
                let longest_ms = self.terms.lease_ms + self.terms.margin_ms;
                let mut kernel = self.kernel();
                kernel.crash();
                if kind == 6 {
                    kernel.database.lose_leases(now + lasts, longest_ms);
                }
                drop(kernel);
                self.observe_commits();
                self.happen_after(lasts, Happening::ServiceStarts);
            }
            7 => {
                let by_ms = self.kernel().random.i64(-20_000..20_000);
                self.nodes[edge].set_wall_clock(by_ms);
            }
            _ => {}
        }
        Ok(())
    }
}
