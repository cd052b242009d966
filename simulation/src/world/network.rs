//! The network between edges and the service: delays and losses.

use super::World;
use super::world_event::{Checked, CutOff, WorldEvent};
use crate::clock::MS;
use crate::edges::{CalloutRequest, CalloutResponse};

impl World {
    /// Whether a message to or from an edge is lost.
    pub(super) fn is_lost(&self, edge: usize, is_sync: bool, thousandths: u32) -> bool {
        let by_cut = match self.cut_off.get(&edge) {
            Some(CutOff::Everything) => true,
            Some(CutOff::Syncs) => is_sync,
            None => false,
        };
        by_cut || self.kernel().random.u32(..1_000) < thousandths
    }

    pub(super) fn delay(&self, is_sync: bool) -> u64 {
        let mut kernel = self.kernel();
        let range =
            if is_sync { kernel.profile.sync_delay.clone() } else { kernel.profile.verify_delay.clone() };
        kernel.span(range)
    }

    /// Sends the callouts of an edge. `is_timer` is true if its timer has expired.
    ///
    /// # Errors
    /// A request ended in a wrong way.
    pub(super) fn pump(&mut self, edge: usize, is_timer: bool) -> Checked {
        let now = self.kernel().now;
        let generation = self.nodes[edge].generation;
        let (callouts, due) = self.nodes[edge].pump(now);
        let refused = self.nodes[edge].refused(now)?;
        self.judge(refused)?;
        for callout in callouts {
            let losses = self.kernel().profile.losses;
            let is_sync = matches!(callout.request, CalloutRequest::Sync(_));
            self.schedule(callout.timeout, WorldEvent::Answered(edge, generation, callout.id, None));
            let thousandths = if is_sync { losses.sync_requests } else { losses.verify_requests };
            if self.is_lost(edge, is_sync, thousandths) {
                continue;
            }
            if self.kernel().random.u32(..1_000) < losses.duplicates {
                let delay = self.delay(is_sync) * 3;
                self.schedule(delay, WorldEvent::CalloutArrives(edge, generation, callout.clone(), true));
            }
            let delay = self.delay(is_sync);
            self.schedule(delay, WorldEvent::CalloutArrives(edge, generation, callout, false));
        }
        if let Some(due) = due
            && (is_timer || due <= MS)
        {
            self.schedule(due, WorldEvent::Pump(edge, generation));
        }
        Ok(())
    }

    pub(super) fn send_back(
        &mut self,
        edge: usize,
        generation: u64,
        callout: u32,
        reply: Option<CalloutResponse>,
    ) {
        let losses = self.kernel().profile.losses;
        let is_sync = matches!(reply, Some(CalloutResponse::Sync(_)));
        let thousandths = if is_sync { losses.sync_answers } else { losses.verify_answers };
        if reply.is_some() && self.is_lost(edge, is_sync, thousandths) {
            return;
        }
        let delay = self.delay(is_sync);
        self.schedule(delay, WorldEvent::Answered(edge, generation, callout, reply));
    }

    pub(super) fn answered(
        &mut self,
        edge: usize,
        generation: u64,
        callout: u32,
        reply: Option<CalloutResponse>,
    ) -> Checked {
        if self.nodes[edge].generation != generation {
            return Ok(());
        }
        if self.waits_for(edge, WorldEvent::Answered(edge, generation, callout, reply.clone())) {
            return Ok(());
        }
        let now = self.kernel().now;
        let decided = self.nodes[edge].ended(callout, reply, now)?;
        self.judge(decided)?;
        self.pump(edge, true)
    }

    pub(super) fn is_paused(&self, edge: usize) -> bool {
        self.nodes[edge].paused_until.is_some()
    }
}
