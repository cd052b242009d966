//! A replica: one process of the service.

use std::collections::BTreeMap;

use leases::{Acknowledgement, Position};

use crate::clock::Clock;
use crate::statement::{Batch, Work};
use crate::tasks::TaskId;

/// The batches of one kind.
#[derive(Default)]
pub(crate) struct Gathering {
    /// Whether a batch is pending.
    pub(crate) is_busy: bool,
    /// The members of the next batch.
    pub(crate) next: Vec<(TaskId, Work)>,
}

/// What a task waits for, besides its timeout.
#[derive(Clone, Debug)]
pub(crate) enum Awaited {
    /// A change after a position.
    Change(Position),
    /// An acknowledgement.
    Acknowledgement,
}

/// A replica.
pub struct Replica {
    /// Whether it runs.
    pub(crate) is_up: bool,
    /// The time until which it is paused.
    pub(crate) paused_until: Option<u64>,
    /// Whether it drains: it holds no syncs.
    pub(crate) is_draining: bool,
    /// How often it was started.
    pub(crate) generation: u64,
    /// The number of its current connection to the database.
    pub(crate) connection: u64,
    /// The connection on which it last checked for a loss.
    pub(crate) looked_over: Option<u64>,
    /// The epoch in which it last announced how long its leases last.
    pub(crate) announced_in: Option<String>,
    /// The clock of its machine.
    pub clock: Clock,
    /// The latest position that it knows.
    pub(crate) latest: Option<Position>,
    /// The acknowledgements that it has received.
    pub(crate) acknowledged: Vec<Acknowledgement>,
    waiting: BTreeMap<TaskId, Awaited>,
    gatherings: [Gathering; 4],
}

impl Replica {
    /// A replica that has just started.
    pub(crate) fn new(clock: Clock) -> Self {
        Replica {
            is_up: true,
            paused_until: None,
            is_draining: false,
            generation: 0,
            connection: 0,
            looked_over: None,
            announced_in: None,
            clock,
            latest: None,
            acknowledged: Vec::new(),
            waiting: BTreeMap::new(),
            gatherings: Default::default(),
        }
    }

    /// Kills it; its state is lost.
    pub(crate) fn stop(&mut self) {
        self.is_up = false;
        self.paused_until = None;
        self.is_draining = false;
        self.generation += 1;
        self.connection += 1;
        self.announced_in = None;
        self.latest = None;
        self.acknowledged.clear();
        self.waiting.clear();
        self.gatherings = Default::default();
    }

    /// The batches of one kind.
    pub(crate) fn gathering(&mut self, batch: Batch) -> &mut Gathering {
        &mut self.gatherings[batch as usize]
    }

    /// Whether it knows of a change after a position.
    pub(crate) fn has_change(&self, beyond: &Position) -> bool {
        self.latest.as_ref().is_some_and(|latest| is_beyond(latest, beyond))
    }

    /// A task starts to wait.
    pub(crate) fn wait(&mut self, task: TaskId, awaited: Awaited) {
        self.waiting.insert(task, awaited);
    }

    /// Whether a task still waits.
    pub(crate) fn waits(&self, task: TaskId) -> bool {
        self.waiting.contains_key(&task)
    }

    /// A task stops waiting.
    pub(crate) fn stop_waiting(&mut self, task: TaskId) {
        self.waiting.remove(&task);
    }

    /// It receives a position; returns the tasks to wake.
    pub(crate) fn receive_position(&mut self, position: &Position) -> Vec<TaskId> {
        if self.latest.as_ref().is_none_or(|latest| is_beyond(position, latest)) {
            self.latest = Some(position.clone());
        }
        self.wake(|awaited| matches!(awaited, Awaited::Change(known) if is_beyond(position, known)))
    }

    /// It receives an acknowledgement; returns the tasks to wake.
    pub(crate) fn receive_acknowledgement(&mut self, acknowledgement: Acknowledgement) -> Vec<TaskId> {
        self.acknowledged.push(acknowledgement);
        self.wake(|awaited| matches!(awaited, Awaited::Acknowledgement))
    }

    /// It starts to drain; returns the tasks of the syncs that it held.
    pub fn drain(&mut self) -> Vec<TaskId> {
        self.is_draining = true;
        self.wake(|awaited| matches!(awaited, Awaited::Change(_)))
    }

    fn wake(&mut self, has_come: impl Fn(&Awaited) -> bool) -> Vec<TaskId> {
        let mut woken = Vec::new();
        self.waiting.retain(|task, awaited| {
            let waits = !has_come(awaited);
            if !waits {
                woken.push(*task);
            }
            waits
        });
        woken
    }
}

/// A position in another epoch counts as later.
fn is_beyond(place: &Position, than: &Position) -> bool {
    place.epoch != than.epoch || place.revision > than.revision
}
