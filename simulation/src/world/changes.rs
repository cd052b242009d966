//! Owners make changes, and repeat them when there is no answer. The oracle learns of commits and returns.

use std::ops::Range;

use leases::AffectedKeys;
use protocol::{KeyDigest, ScopeSet};

use super::change::{Intent, Propagated, make};
use super::world_event::{Checked, Made, WorldEvent};
use super::{KEYS, LOWERING_GAP, MOST_CHANGES, USERS, World};
use crate::clock::MS;
use crate::database::{Broken, Effect, Key};
use crate::kernel::Event;
use crate::profile::LONGEST_LIFE_MS;
use crate::tasks::TaskId;

/// How long an owner waits before repeating a change.
const REPEATED_AFTER: Range<u64> = MS..200 * MS;

impl World {
    pub(super) fn change(&mut self) {
        if self.rests {
            return;
        }
        let gap = self.kernel().profile.change_gap.clone();
        let gap = self.kernel().span(gap);
        self.schedule(gap, WorldEvent::Change);
        let (keys, may_write) = {
            let kernel = self.kernel();
            let keys = kernel.database.data.keys.len().saturating_sub(kernel.profile.crowd);
            (keys, kernel.database.is_up && !kernel.database.is_locked())
        };
        // Creating a key needs the lock too, so that it does not happen while its user is being disabled.
        if keys < KEYS && may_write {
            let user = self.kernel().random.usize(..USERS);
            self.create_key(user);
        }
        if self.changing.len() + self.repeating > MOST_CHANGES {
            return;
        }
        // Sometimes two changes of one key at once.
        let twice = self.kernel().random.u32(..4) == 0;
        let at = {
            let newest = self.values.len().min(KEYS + 3);
            self.values.len() - 1 - self.kernel().random.usize(..newest)
        };
        for _ in 0..=u32::from(twice) {
            let intent = self.some_intent(at);
            self.send_change(intent);
        }
    }

    fn some_intent(&mut self, at: usize) -> Intent {
        let id = self.values[at].1.clone();
        let kind = self.kernel().random.u32(..16);
        let user = self.kernel().random.usize(..USERS).to_string();
        let truth = self.kernel().random.u32(..3) > 0;
        let scopes = if truth { ScopeSet::all() } else { ScopeSet::default() };
        let (affected, effect) = match kind {
            0..=3 => (AffectedKeys::Key(id.clone()), Effect::Delete(id)),
            4..=7 => {
                let digest = self.new_value(&id);
                let grace_ms = if kind < 6 { 0 } else { self.kernel().random.u64(1..=LONGEST_LIFE_MS) };
                (AffectedKeys::Key(id.clone()), Effect::Roll { key: id, digest, grace_ms })
            }
            8..=9 => (AffectedKeys::Key(id.clone()), Effect::Scopes(id, scopes)),
            10..=11 => (AffectedKeys::Key(id.clone()), Effect::Expiry(id, self.kernel().some_end())),
            // The crowd is the other user's.
            12 if truth && user == "1" => (AffectedKeys::User(user.clone()), Effect::DeleteUser(user)),
            12 => (AffectedKeys::User(user.clone()), Effect::Enable(user, truth)),
            13 => (AffectedKeys::User(user.clone()), Effect::Permissions(user, scopes)),
            14 => {
                let first = at.saturating_sub(1);
                let leaked: Vec<_> = self.values[first..=at].iter().map(|value| value.2).collect();
                (AffectedKeys::KeysWith(leaked.clone()), Effect::Leak(leaked))
            }
            _ => {
                let id = format!("key-{}", self.values.len());
                let digest = self.new_value(&id);
                // Clients may have sent the value before it is adopted.
                self.known.push(self.values.len() - 1);
                let mut key = Key::new(&user, digest);
                key.expires_at_ms = self.kernel().some_end();
                (AffectedKeys::Value(digest), Effect::Create(id, key))
            }
        };
        Intent { affected, effect }
    }

    /// Sends a change to a random replica; repeats it later if that replica is down.
    fn send_change(&mut self, intent: Intent) {
        let replica = self.some_replica();
        if !self.kernel().replicas[replica].is_up {
            self.repeat_later(intent);
            return;
        }
        let task = make(self.shared.clone(), intent.clone());
        let task = self.tasks.add(replica, async move { Made::Change(task.await) });
        self.changing.insert(task, intent);
        self.kernel().after(0, Event::Poll(task));
    }

    /// An owner got no answer and repeats the change.
    pub(super) fn repeat_later(&mut self, intent: Intent) {
        // A roll or creation is not repeated: an owner would first check whether it happened.
        if let Effect::Roll { .. } | Effect::Create(..) = intent.effect {
            return;
        }
        self.repeating += 1;
        self.summary.repeated += 1;
        let delay = self.kernel().span(REPEATED_AFTER);
        self.schedule(delay, WorldEvent::Repeats(intent));
    }

    pub(super) fn repeat(&mut self, intent: Intent) {
        self.repeating -= 1;
        self.send_change(intent);
    }

    pub(super) fn prune(&mut self) {
        let Some(gap) = self.kernel().profile.prune_gap.clone() else { return };
        if self.rests {
            return;
        }
        let mut kernel = self.kernel();
        if kernel.database.is_up && !kernel.database.is_locked() {
            let kept = kernel.random.u64(..4);
            kernel.database.prune(kept);
        }
        let gap = kernel.span(gap);
        drop(kernel);
        self.schedule(gap, WorldEvent::Prune);
    }

    pub(super) fn lower_longest(&mut self) {
        if self.rests {
            return;
        }
        let mut kernel = self.kernel();
        (0..kernel.replicas.len()).for_each(|replica| kernel.lower_longest(replica));
        drop(kernel);
        self.schedule(LOWERING_GAP, WorldEvent::LowerLongest);
    }

    /// Passes the standing of every value to the oracle.
    pub(super) fn observe(&mut self) {
        let kernel = self.shared.lock();
        for (_, _, digest) in &self.values {
            self.oracle.committed(*digest, kernel.database.data.standing(digest), kernel.now);
        }
    }

    /// Calls [`observe`](Self::observe) after commits. Then an outage may hit the replicas that committed.
    pub(super) fn observe_commits(&mut self) {
        let committed = std::mem::take(&mut self.kernel().database.committed);
        if committed.is_empty() {
            return;
        }
        self.observe();
        committed.into_iter().for_each(|task| self.strike(task.replica));
    }

    pub(super) fn changed(&mut self, task: TaskId, made: Result<Propagated, Broken>) -> Checked {
        let Some(intent) = self.changing.remove(&task) else { return Ok(()) };
        let Ok(Propagated { position, covers, read_at, revocation }) = made else {
            self.repeat_later(intent);
            return Ok(());
        };
        let (now, longest, had_lost, lost_leases_until) = {
            let kernel = self.kernel();
            let had_lost = kernel.database.had_lost(&position, read_at);
            let longest = kernel.profile.longest_lease_ms() * MS;
            let left_ms = kernel.database.data.lost_leases_until_ms - kernel.database.clock_ms(kernel.now);
            let lost_leases_until = kernel.now.saturating_add_signed(left_ms * MS as i64);
            (kernel.now, longest, had_lost, lost_leases_until)
        };
        if had_lost {
            return Err(format!("revision {} is reported as propagated, but was lost", position.revision));
        }
        // An edge that has acknowledged a revision has applied all revisions up to it.
        let all: Vec<KeyDigest> = self.values.iter().map(|value| value.2).collect();
        self.oracle.returned(&all, covers, now);
        self.summary.changes += 1;
        let Some(revocation) = revocation else { return Ok(()) };
        if let Effect::Roll { digest, .. } = intent.effect {
            self.known.extend(self.values.iter().position(|value| value.2 == digest));
        }
        self.summary.acknowledged += u64::from(revocation.acknowledged > 0);
        self.summary.expired += u64::from(revocation.expired > 0);
        self.summary.lost_leases += u64::from(revocation.lost_leases);
        let has = |((_, epoch), latest): &(&(String, String), &u64)| {
            *epoch == position.epoch && **latest >= position.revision
        };
        let acknowledged = self.acknowledged.iter().filter(has).count();
        if revocation.acknowledged > acknowledged {
            let reported = revocation.acknowledged;
            return Err(format!("a change reports {reported} acknowledgements of {acknowledged}"));
        }
        // Clocks drift, and each read of the leases takes time. The change also waits for leases that may have been
        // lost since.
        let allowed = longest + longest / 10 + 8 * self.slowest_transaction + 500 * MS;
        let begins = covers.max(self.disturbed_until);
        let begins = if revocation.lost_leases {
            begins.max(lost_leases_until.saturating_sub(longest))
        } else {
            begins
        };
        let took = now.saturating_sub(begins);
        if took > allowed {
            return Err(format!("a change took {} ms to return after its commit", took / MS));
        }
        Ok(())
    }

    /// A random replica, as a load balancer chooses one.
    pub(super) fn some_replica(&self) -> usize {
        let mut kernel = self.kernel();
        let replicas = kernel.replicas.len();
        kernel.random.usize(..replicas)
    }
}
