//! What clients do: requests and changes, and what the oracle is told of them.

use key_service::leases::settle::settle;
use key_service::leases::{Revocation, Touched, change};
use protocol::KeyDigest;

use super::{Checked, Happening, KEYS, MOST_CHANGES, Made, USERS, World};
use crate::database::{Effect, SimulatedLedger, Worth};
use crate::edges::Decided;
use crate::kernel::{Event, TaskId};
use crate::oracle::Outcome;
use crate::profile::MS;

impl World {
    pub(super) fn request(&mut self) {
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

    pub(super) fn arrives(&mut self, edge: usize, at: usize, arrived: u64) -> Checked {
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
    pub(super) fn waits_for(&self, edge: usize, happening: Happening) -> bool {
        let Some(until) = self.nodes[edge].stands_still_until else { return false };
        let left = until.saturating_sub(self.kernel().now) + 1;
        self.happen_after(left, happening);
        true
    }

    pub(super) fn judge(&mut self, decided: impl IntoIterator<Item = Decided>) -> Checked {
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

    pub(super) fn change(&mut self) -> Checked {
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

    pub(super) fn change_key(&mut self, at: usize) {
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
                let Ok(position) = begun.commit().await;
                let Ok(revocation) = settle(&ledger, &position, |_| {}).await;
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
    pub(super) fn observe_commits(&mut self) {
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

    pub(super) fn changed(&mut self, task: TaskId, covers: u64, revocation: Option<Revocation>) -> Checked {
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
}
