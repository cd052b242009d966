//! Outages.

use super::World;
use super::world_event::{CutOff, WorldEvent};
use crate::database::MOST_LACKING;
use crate::edges::Node;
use crate::kernel::Kernel;
use crate::outage::Outage;
use crate::tasks::TaskId;

impl World {
    /// Begins an outage, and schedules the next one.
    pub(super) fn outage(&mut self) {
        let Some(gap) = self.kernel().profile.outage_gap.clone() else { return };
        let (outage, replica) = {
            let mut kernel = self.kernel();
            let outages = kernel.profile.outages.clone();
            let weights: u32 = outages.iter().map(|(_, weight)| weight).sum();
            let mut at = kernel.random.u32(..weights);
            let outage = outages.into_iter().find(|(_, weight)| {
                let is_it = at < *weight;
                at = at.saturating_sub(*weight);
                is_it
            });
            let replicas = kernel.replicas.len();
            (outage, kernel.random.usize(..replicas))
        };
        // Not at time 0, when nothing has started.
        if let Some((outage, _)) = outage.filter(|_| self.kernel().now > 0) {
            self.begin(outage, replica);
        }
        let gap = self.kernel().span(gap);
        self.schedule(gap, WorldEvent::Outage);
    }

    /// A replica has just committed a change, so an outage may hit it now.
    pub(super) fn strike(&mut self, replica: usize) {
        let Some((outage, thousandths)) = self.kernel().profile.strikes else { return };
        if self.kernel().chance(thousandths) && self.kernel().replicas[replica].is_up {
            self.summary.kills_at_commit += u64::from(outage == Outage::ReplicaKilled);
            self.begin(outage, replica);
        }
    }

    fn begin(&mut self, outage: Outage, replica: usize) {
        let (edge, lasts, now) = {
            let edges = self.nodes.len();
            let mut kernel = self.kernel();
            let span = kernel.profile.outage.clone();
            let lasts = kernel.span(span);
            // Often the database is back while an edge is still cut off.
            let is_quick = Outage::OF_THE_DATABASE.contains(&outage) && kernel.random.bool();
            let lasts = if is_quick { lasts / 16 } else { lasts };
            (kernel.random.usize(..edges), lasts, kernel.now)
        };
        let is_fit = match outage {
            // The wall clock must not be set back during a suspension: then neither clock counts, and the promise
            // does not hold.
            Outage::EdgePaused | Outage::EdgeSuspended | Outage::WallClockSet => !self.is_paused(edge),
            Outage::ReplicaKilled | Outage::ConnectionsLost => self.kernel().replicas[replica].is_up,
            Outage::ReplicaPaused | Outage::ReplicaDrained => {
                let replica = &self.kernel().replicas[replica];
                replica.is_up && replica.paused_until.is_none() && !replica.is_draining
            }
            Outage::DatabaseRestarted | Outage::FailedOver | Outage::PowerCut => self.kernel().database.is_up,
            _ => true,
        };
        if !is_fit {
            return;
        }
        self.summary.count(outage);
        match outage {
            Outage::EdgeCutOff => self.cut_off(edge, CutOff::Everything, lasts),
            Outage::SyncsCutOff => self.cut_off(edge, CutOff::Syncs, lasts),
            Outage::EdgePaused | Outage::EdgeSuspended => {
                self.nodes[edge].paused_until = Some(now + lasts);
                if outage == Outage::EdgeSuspended {
                    self.nodes[edge].was_suspended(lasts);
                }
                let generation = self.nodes[edge].generation;
                self.schedule(lasts, WorldEvent::EdgeResumes(edge, generation));
            }
            Outage::EdgeRestarted => {
                let generation = self.nodes[edge].generation + 1;
                let mut kernel = self.shared.lock();
                let Kernel { random, profile, .. } = &mut *kernel;
                if let Some(node) = Node::start(edge, generation, random, profile) {
                    self.nodes[edge] = node;
                }
            }
            Outage::WallClockSet => {
                let by_ms = self.kernel().random.i64(-20_000..20_000);
                self.nodes[edge].set_wall_clock(by_ms);
                // The timer of the proxy reads the clocks at least once a second.
                let generation = self.nodes[edge].generation;
                self.schedule(0, WorldEvent::Pump(edge, generation));
            }
            Outage::ReplicaKilled => self.kill(replica, lasts),
            Outage::ReplicaPaused => {
                self.disturb(lasts);
                self.kernel().replicas[replica].paused_until = Some(now + lasts);
                self.schedule(lasts, WorldEvent::ReplicaResumes(replica));
            }
            Outage::ReplicaDrained => self.drain(replica, lasts),
            Outage::ConnectionsLost => self.kernel().lose_connections(replica),
            Outage::DatabaseRestarted => self.crash_database(None, lasts),
            Outage::FailedOver => {
                let lacking = self.kernel().random.usize(..=MOST_LACKING);
                self.crash_database(Some(lacking), lasts);
            }
            Outage::PowerCut => {
                let replicas = self.kernel().replicas.len();
                (0..replicas).for_each(|replica| self.kill(replica, lasts));
                self.crash_database(None, lasts);
            }
        }
    }

    fn cut_off(&mut self, edge: usize, from: CutOff, lasts: u64) {
        self.cut_off.insert(edge, from);
        self.schedule(lasts, WorldEvent::Reconnect(edge));
    }

    /// Kills a replica with its tasks. Owners repeat the changes that were pending there.
    fn kill(&mut self, replica: usize, away: u64) {
        if !self.kernel().replicas[replica].is_up {
            return;
        }
        self.disturb(away);
        self.kernel().kill(replica);
        self.tasks.kill(replica);
        let of_others = self.changing.split_off(&TaskId { replica: replica + 1, number: 0 });
        let its = self.changing.split_off(&TaskId { replica, number: 0 });
        self.changing.extend(of_others);
        its.into_values().for_each(|intent| self.repeat_later(intent));
        self.schedule(away, WorldEvent::ReplicaStarts(replica));
    }

    /// A replica drains: it serves for half of the time and is away for the rest.
    fn drain(&mut self, replica: usize, lasts: u64) {
        let generation = {
            let mut kernel = self.kernel();
            let held = kernel.replicas[replica].drain();
            kernel.wake(held);
            kernel.replicas[replica].generation
        };
        self.schedule(lasts / 2, WorldEvent::ReplicaEnds(replica, generation, lasts / 2));
    }

    pub(super) fn replica_ends(&mut self, replica: usize, generation: u64, away: u64) {
        if self.kernel().replicas[replica].generation == generation {
            self.kill(replica, away);
        }
    }

    fn crash_database(&mut self, lacking: Option<usize>, away: u64) {
        self.disturb(away);
        self.kernel().crash_database(lacking);
        // Observe commits at the last moment, and losses.
        self.kernel().database.committed.clear();
        self.observe();
        self.schedule(away, WorldEvent::DatabaseStarts);
    }

    fn disturb(&mut self, lasts: u64) {
        let until = self.kernel().now + lasts;
        self.disturbed_until = self.disturbed_until.max(until);
    }
}
