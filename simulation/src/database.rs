//! A model of the database: transactions happen one after the other, each at one moment. It can crash, and another can
//! take its place.

use std::collections::{BTreeMap, VecDeque};

use leases::Position;
use protocol::KeyDigest;

use crate::clock::Clock;
use crate::profile::Profile;
use crate::tasks::TaskId;

mod data;
mod keys;
mod lock;
mod slot;

pub use data::Data;
pub use keys::{Effect, Key, Standing, User, Value, Worth};
pub use lock::Session;
use lock::{Granted, Lock};
pub use slot::Broken;
pub(crate) use slot::Slot;

/// How many changes a standby lacks at most.
pub const MOST_LACKING: usize = 12;

/// How far the clocks of two machines that the database runs on are off at most, either way, in milliseconds: well within
/// the margin, for a jump by more than that is outside the promise.
pub const STANDBY_SKEW_MS: i64 = 150;

/// A failover: which history ended then, and up to where the next one has it.
#[derive(Clone, Debug)]
struct Ended {
    at: u64,
    kept: Position,
}

/// The database server.
pub struct Database {
    /// All that is in it.
    pub data: Data,
    /// Whether it answers.
    pub is_up: bool,
    clock: Clock,
    lock: Lock,
    /// What a standby may still be at, the latest last.
    standby: VecDeque<Data>,
    is_followed: bool,
    /// The table of leases is as it was: nothing was lost since it was last looked at.
    has_witness: bool,
    /// The history is written where it was last.
    is_in_place: bool,
    logs: u64,
    ended: Vec<Ended>,
    commit_times: BTreeMap<(String, u64), u64>,
    /// Tasks that got what they were blocked on.
    pub unblocked: Vec<TaskId>,
    /// Who has committed since somebody looked.
    pub committed: Vec<TaskId>,
}

impl Database {
    /// An empty one, with a clock of its own.
    pub fn new(random: &mut fastrand::Rng, profile: &Profile) -> Self {
        Database {
            data: Data::new(log_name(0), profile.first_longest_lease_ms()),
            is_up: true,
            clock: Clock::new(random, profile.drift, 0),
            lock: Lock::default(),
            standby: VecDeque::new(),
            is_followed: profile.fails_over(),
            has_witness: true,
            is_in_place: true,
            logs: 0,
            ended: Vec::new(),
            commit_times: BTreeMap::new(),
            unblocked: Vec::new(),
            committed: Vec::new(),
        }
    }

    /// Its clock.
    pub fn clock_ms(&self, now: u64) -> i64 {
        self.clock.wall_ms(now)
    }

    /// Somebody sets its clock.
    pub fn set_clock(&mut self, by_ms: i64) {
        self.clock.set(by_ms);
    }

    /// Whether a change is under way, so that nobody else can write.
    pub fn is_locked(&self) -> bool {
        self.lock.is_taken()
    }

    /// When a change was committed.
    pub fn committed_at(&self, position: &Position) -> u64 {
        self.commit_times.get(&(position.log.clone(), position.revision)).copied().unwrap_or_default()
    }

    /// Whether a failover before then has lost the change that made a place.
    pub fn had_lost(&self, position: &Position, by: u64) -> bool {
        let lost = |ended: &Ended| {
            ended.at <= by && ended.kept.log == position.log && ended.kept.revision < position.revision
        };
        self.ended.iter().any(lost)
    }

    /// What a replica does first on each new connection: it notices a loss, and announces how long its leases last.
    /// `announced_in` is the log in which it last did so.
    pub(crate) fn connect(&mut self, lasts_ms: u64, announced_in: &mut Option<String>, now: u64) {
        let is_lost = !(self.has_witness && self.is_in_place);
        // Rule `NewLog`.
        if is_lost {
            self.logs += 1;
            self.data.position.log = log_name(self.logs);
        }
        let now_ms = self.clock_ms(now);
        let log = &self.data.position.log;
        // Whoever began this log did not know of leases as long as this replica's.
        let is_unknown = self.data.longest_lease_ms < lasts_ms
            && announced_in.as_ref().is_some_and(|announced_in| announced_in != log);
        *announced_in = Some(log.clone());
        self.data.announce(lasts_ms, now_ms);
        // Rule `ForgottenFirst`.
        if is_lost || is_unknown {
            let longest_ms = self.data.longest_lease_ms; // rule `LongestLease`
            self.data.forgotten_until_ms = self.data.forgotten_until_ms.max(now_ms + longest_ms as i64);
        }
        (self.has_witness, self.is_in_place) = (true, true);
    }

    /// Lowers what is waited for after a loss, as far as it is above what a replica grants.
    pub(crate) fn lower_longest(&mut self, lasts_ms: u64, now: u64) {
        let now_ms = self.clock_ms(now);
        self.data.lower_longest(lasts_ms, now_ms);
    }

    /// Takes the lock and raises the revision, or waits for it; whether it has it at once.
    pub(crate) fn begin(&mut self, session: Session, granted: &Granted) -> bool {
        let is_granted = self.lock.take(session, granted.clone());
        if is_granted {
            granted.fill(Ok(self.next_position()));
        }
        is_granted
    }

    fn next_position(&self) -> Position {
        Position { revision: self.data.position.revision + 1, ..self.data.position.clone() }
    }

    /// Commits a change.
    pub(crate) fn commit(
        &mut self,
        session: Session,
        position: &Position,
        changed: &[KeyDigest],
        effect: Option<Effect>,
        now: u64,
    ) {
        if self.is_followed {
            self.standby.push_back(self.data.clone());
            if self.standby.len() > MOST_LACKING {
                self.standby.pop_front();
            }
        }
        let now_ms = self.clock_ms(now);
        self.data.change(position.clone(), changed, effect, now_ms);
        self.commit_times.insert((position.log.clone(), position.revision), now);
        self.committed.push(session.task);
        self.unlock(session);
    }

    /// Lets the lock go, if the session has it.
    pub(crate) fn unlock(&mut self, session: Session) {
        if let Some((next, granted)) = self.lock.release(session) {
            granted.fill(Ok(self.next_position()));
            self.unblocked.push(next.task);
        }
    }

    /// A replica's connections are gone: who waited for the lock over one of them hears so. Who has it over one keeps it
    /// until that is noticed.
    pub(crate) fn lose_connections(&mut self, replica: usize) -> Option<Session> {
        let (waiting, holding) = self.lock.abandoned_by(replica);
        self.refuse(waiting);
        holding
    }

    fn refuse(&mut self, waiting: Vec<(Session, Granted)>) {
        for (session, granted) in waiting {
            granted.fill(Err(Broken));
            self.unblocked.push(session.task);
        }
    }

    /// The server crashes. All that was committed is still there when it starts again, but for the leases.
    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        let waiting = self.lock.clear();
        self.refuse(waiting);
        self.data.registry.clear();
        self.has_witness = false;
    }

    /// A standby takes the place of the server that crashes now. It lacks so many changes, and its clock is so far off.
    pub(crate) fn fail_over(&mut self, lacking: usize, offset_ms: i64, now: u64) {
        self.crash();
        let log = self.data.position.log.clone();
        let kept = self.standby.len().saturating_sub(lacking);
        if let Some(earlier) = self.standby.drain(kept..).next() {
            self.data = earlier;
        }
        self.standby.clear();
        self.data.registry.clear();
        self.ended.push(Ended { at: now, kept: Position { log, ..self.data.position.clone() } });
        self.is_in_place = false;
        // Both clocks have counted from the same moment: they are no further apart than this.
        self.clock.set_to(offset_ms);
    }

    /// Forgets old changes, all but a few.
    pub fn prune(&mut self, kept: u64) {
        self.data.prune(kept);
    }
}

fn log_name(number: u64) -> String {
    format!("log-{number}")
}
