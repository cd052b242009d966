//! Clients send requests, and the oracle judges the decisions.

use super::world_event::{Checked, WorldEvent};
use super::{KEYS, World};
use crate::clock::MS;
use crate::database::Validity;
use crate::edges::Decided;
use crate::kernel::Event;
use crate::oracle::{Decision, Outcome};

impl World {
    pub(super) fn request(&mut self) {
        if self.rests {
            return;
        }
        let (edges, values) = (self.nodes.len(), self.known.len());
        let mut kernel = self.kernel();
        // Mostly one of the newest values, sometimes one that was revoked long ago.
        let among = if kernel.random.u32(..4) > 0 { values.min(KEYS + 3) } else { values };
        let at = self.known[values - 1 - kernel.random.usize(..among)];
        let (edge, now) = (kernel.random.usize(..edges), kernel.now);
        let gap = kernel.profile.request_gap.clone();
        let gap = kernel.span(gap);
        kernel.after(gap, Event::World(Box::new(WorldEvent::Request)));
        kernel.after(0, Event::World(Box::new(WorldEvent::Arrives(edge, at, now))));
    }

    pub(super) fn arrives(&mut self, edge: usize, at: usize, arrived: u64) -> Checked {
        let event = WorldEvent::Arrives(edge, at, arrived);
        if self.waits_for(edge, event) {
            return Ok(());
        }
        let now = self.kernel().now;
        let decided = self.nodes[edge].arrive(&self.values[at].0, arrived, now)?;
        self.judge(decided)?;
        let leaves = self.kernel().random.u32(..50) == 0;
        if leaves {
            let mut kernel = self.shared.lock();
            self.nodes[edge].leave_one(&mut kernel.random);
        }
        self.pump(edge, false)?;
        self.nodes[edge].check_bounds()
    }

    /// Whether an edge is paused; if so, the event is postponed until the edge resumes.
    pub(super) fn waits_for(&self, edge: usize, event: WorldEvent) -> bool {
        let Some(until) = self.nodes[edge].paused_until else { return false };
        let left = until.saturating_sub(self.kernel().now) + 1;
        self.schedule(left, event);
        true
    }

    pub(super) fn judge(&mut self, decided: impl IntoIterator<Item = Decided>) -> Checked {
        let kernel = self.shared.lock();
        let (at, profile) = (kernel.now, &kernel.profile);
        let serve_stale_ms = profile.serve_stale_ms();
        let stale = (serve_stale_ms + profile.apart_after_ms(serve_stale_ms)) * MS;
        for Decided { digest, arrived, outcome, is_stale, uncounted } in decided {
            match outcome {
                Outcome::Unavailable => {
                    self.summary.unavailable += 1;
                    if self.calm || self.asks_last {
                        return Err("a request was not served, although nothing had failed".to_owned());
                    }
                }
                Outcome::Decided(found) => {
                    self.summary.decided += 1;
                    self.summary.accepted += u64::from(found == Validity::Good);
                    self.summary.stale += u64::from(is_stale);
                    let stale = if is_stale { stale } else { 0 };
                    let decision = Decision { digest, arrived, at, found, stale, uncounted };
                    self.oracle.judge(&decision, |at| kernel.database.clock_ms(at))?;
                }
            }
        }
        Ok(())
    }
}
