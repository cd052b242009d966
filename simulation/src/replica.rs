//! One process of the service: what it has heard, and who waits there for what.

use std::collections::BTreeMap;

use leases::{Acknowledgement, Position};

use crate::clock::Clock;
use crate::statement::{Group, Work};
use crate::tasks::TaskId;

/// The groups of one kind.
#[derive(Default)]
pub struct Gathering {
    /// A group is under way.
    pub is_busy: bool,
    /// Who belongs to the next one.
    pub next: Vec<(TaskId, Work)>,
}

/// What a task waits for besides its time being over.
#[derive(Clone, Debug)]
pub enum Awaited {
    /// That the history goes beyond a place.
    News(Position),
    /// That an edge acknowledges something.
    Acknowledgement,
}

/// One process.
pub struct Replica {
    /// Whether it runs.
    pub is_up: bool,
    /// It stands still until then.
    pub stands_still_until: Option<u64>,
    /// It is to end, and holds no sync any more.
    pub is_draining: bool,
    /// Which start of it this is.
    pub generation: u64,
    /// Which of its connections to the database it uses: a broken one is followed by another.
    pub connection: u64,
    /// The connection over which it last looked for a loss.
    pub looked_over: Option<u64>,
    /// The log in which it last announced how long its leases last.
    pub announced_in: Option<String>,
    /// The clock of its machine.
    pub clock: Clock,
    /// The latest place of the history that it has heard of.
    pub heard: Option<Position>,
    /// What edges have acknowledged to it.
    pub acknowledged: Vec<Acknowledgement>,
    waiting: BTreeMap<TaskId, Awaited>,
    gatherings: [Gathering; 4],
}

impl Replica {
    /// One that has just started.
    pub fn new(clock: Clock) -> Self {
        Replica {
            is_up: true,
            stands_still_until: None,
            is_draining: false,
            generation: 0,
            connection: 0,
            looked_over: None,
            announced_in: None,
            clock,
            heard: None,
            acknowledged: Vec::new(),
            waiting: BTreeMap::new(),
            gatherings: Default::default(),
        }
    }

    /// It is killed: nothing that it knew is left.
    pub fn stop(&mut self) {
        self.is_up = false;
        self.stands_still_until = None;
        self.is_draining = false;
        self.generation += 1;
        self.connection += 1;
        self.announced_in = None;
        self.heard = None;
        self.acknowledged.clear();
        self.waiting.clear();
        self.gatherings = Default::default();
    }

    /// The groups of one kind.
    pub fn gathering(&mut self, group: Group) -> &mut Gathering {
        &mut self.gatherings[group as usize]
    }

    /// Whether it has heard that the history goes beyond a place.
    pub fn has_news(&self, beyond: &Position) -> bool {
        self.heard.as_ref().is_some_and(|heard| is_beyond(heard, beyond))
    }

    /// A task waits for something.
    pub fn wait(&mut self, task: TaskId, awaited: Awaited) {
        self.waiting.insert(task, awaited);
    }

    /// Whether what a task waits for has not come.
    pub fn waits(&self, task: TaskId) -> bool {
        self.waiting.contains_key(&task)
    }

    /// A task waits no more.
    pub fn stop_waiting(&mut self, task: TaskId) {
        self.waiting.remove(&task);
    }

    /// It hears how far the history goes; who waited for that.
    pub fn hear(&mut self, position: &Position) -> Vec<TaskId> {
        if self.heard.as_ref().is_none_or(|heard| is_beyond(position, heard)) {
            self.heard = Some(position.clone());
        }
        self.wake(|awaited| matches!(awaited, Awaited::News(place) if is_beyond(position, place)))
    }

    /// An edge acknowledges something; who waited for that.
    pub fn hear_acknowledgement(&mut self, acknowledgement: Acknowledgement) -> Vec<TaskId> {
        self.acknowledged.push(acknowledgement);
        self.wake(|awaited| matches!(awaited, Awaited::Acknowledgement))
    }

    /// It holds no sync any more; whose it held.
    pub fn drain(&mut self) -> Vec<TaskId> {
        self.is_draining = true;
        self.wake(|awaited| matches!(awaited, Awaited::News(_)))
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

/// Another history is as good as news.
fn is_beyond(place: &Position, than: &Position) -> bool {
    place.log != than.log || place.revision > than.revision
}
