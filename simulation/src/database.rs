//! A model of the database. Transactions are serial, and each happens at one moment. The database can crash, and a
//! standby can take over.

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
pub use keys::{Effect, Key, Standing, User, Validity, Value};
pub(crate) use lock::Session;
use lock::{Granted, Lock};
pub use slot::Broken;
pub(crate) use slot::Slot;

/// The most changes that a standby lacks.
pub(crate) const MOST_LACKING: usize = 12;

/// The most that the clock of a database machine is off, either way, in milliseconds. It is well within the margin,
/// because a larger jump is outside the promise.
pub(crate) const STANDBY_SKEW_MS: i64 = 150;

/// A failover: when it happened, and the last position that the standby has.
#[derive(Clone, Debug)]
struct Ended {
    at: u64,
    kept: Position,
}

/// The database server.
pub struct Database {
    /// Its content.
    pub data: Data,
    /// Whether it answers.
    pub is_up: bool,
    clock: Clock,
    lock: Lock,
    /// Earlier contents, one of which a standby may have; the latest is last.
    standby: VecDeque<Data>,
    is_followed: bool,
    /// Whether no leases were lost since a replica last checked.
    has_witness: bool,
    /// Whether there was no failover since a replica last checked.
    is_in_place: bool,
    epochs: u64,
    ended: Vec<Ended>,
    commit_times: BTreeMap<(String, u64), u64>,
    /// Tasks that are no longer blocked.
    pub(crate) unblocked: Vec<TaskId>,
    /// Tasks that have committed since this was last emptied.
    pub(crate) committed: Vec<TaskId>,
}

impl Database {
    /// An empty database with its own clock.
    pub(crate) fn new(random: &mut fastrand::Rng, profile: &Profile) -> Self {
        Database {
            data: Data::new(epoch_name(0), profile.first_longest_lease_ms()),
            is_up: true,
            clock: Clock::new(random, profile.drift, 0),
            lock: Lock::default(),
            standby: VecDeque::new(),
            is_followed: profile.fails_over(),
            has_witness: true,
            is_in_place: true,
            epochs: 0,
            ended: Vec::new(),
            commit_times: BTreeMap::new(),
            unblocked: Vec::new(),
            committed: Vec::new(),
        }
    }

    /// The database's time.
    pub fn clock_ms(&self, now: u64) -> i64 {
        self.clock.wall_ms(now)
    }

    /// Sets its clock forward or back.
    pub fn set_clock(&mut self, by_ms: i64) {
        self.clock.set(by_ms);
    }

    /// Whether a change holds the lock.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_taken()
    }

    /// When the change at a position was committed.
    pub(crate) fn committed_at(&self, position: &Position) -> u64 {
        self.commit_times.get(&(position.epoch.clone(), position.revision)).copied().unwrap_or_default()
    }

    /// Whether a failover at or before `by` has lost the change at a position.
    pub(crate) fn had_lost(&self, position: &Position, by: u64) -> bool {
        let lost = |ended: &Ended| {
            ended.at <= by && ended.kept.epoch == position.epoch && ended.kept.revision < position.revision
        };
        self.ended.iter().any(lost)
    }

    /// What a replica does first on each new connection: it checks for a loss and announces how long its leases last.
    /// `announced_in` is the epoch in which it last did so.
    pub(crate) fn connect(&mut self, lasts_ms: u64, announced_in: &mut Option<String>, now: u64) {
        let is_lost = !(self.has_witness && self.is_in_place);
        // Rule `NewEpoch`.
        if is_lost {
            self.epochs += 1;
            self.data.position.epoch = epoch_name(self.epochs);
        }
        let now_ms = self.clock_ms(now);
        let epoch = &self.data.position.epoch;
        // The replica that began this epoch did not know of leases as long as this replica's.
        let is_unknown = self.data.longest_lease_ms < lasts_ms
            && announced_in.as_ref().is_some_and(|announced_in| announced_in != epoch);
        *announced_in = Some(epoch.clone());
        self.data.announce(lasts_ms, now_ms);
        // Rule `LossFirst`.
        if is_lost || is_unknown {
            let longest_ms = self.data.longest_lease_ms; // rule `LongestLease`
            self.data.lost_leases_until_ms = self.data.lost_leases_until_ms.max(now_ms + longest_ms as i64);
        }
        (self.has_witness, self.is_in_place) = (true, true);
    }

    /// Lowers the longest lease that counts after a loss towards what a replica grants.
    pub(crate) fn lower_longest(&mut self, lasts_ms: u64, now: u64) {
        let now_ms = self.clock_ms(now);
        self.data.lower_longest(lasts_ms, now_ms);
    }

    /// Takes the lock, or queues for it. Returns whether the session has it at once.
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
        self.commit_times.insert((position.epoch.clone(), position.revision), now);
        self.committed.push(session.task);
        self.unlock(session);
    }

    /// Releases the lock, if the session holds it.
    pub(crate) fn unlock(&mut self, session: Session) {
        if let Some((next, granted)) = self.lock.release(session) {
            granted.fill(Ok(self.next_position()));
            self.unblocked.push(next.task);
        }
    }

    /// The connections of a replica have broken. Its queued sessions fail at once. Returns the session that holds the
    /// lock: it keeps it until the database notices.
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

    /// The server crashes. Everything that was committed survives, except the leases.
    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        let waiting = self.lock.clear();
        self.refuse(waiting);
        self.data.registry.clear();
        self.has_witness = false;
    }

    /// The server crashes and a standby takes over. The standby lacks the latest `lacking` changes, and its clock is
    /// off by `offset_ms`.
    pub(crate) fn fail_over(&mut self, lacking: usize, offset_ms: i64, now: u64) {
        self.crash();
        let epoch = self.data.position.epoch.clone();
        let kept = self.standby.len().saturating_sub(lacking);
        if let Some(earlier) = self.standby.drain(kept..).next() {
            self.data = earlier;
        }
        self.standby.clear();
        self.data.registry.clear();
        self.ended.push(Ended { at: now, kept: Position { epoch, ..self.data.position.clone() } });
        self.is_in_place = false;
        // Both clocks started at the same moment, so only the offsets differ.
        self.clock.set_to(offset_ms);
    }

    /// Prunes the history to the latest `kept` revisions.
    pub fn prune(&mut self, kept: u64) {
        self.data.prune(kept);
    }
}

fn epoch_name(number: u64) -> String {
    format!("epoch-{number}")
}
