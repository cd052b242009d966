//! The tasks of the service's replicas.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The id of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// Its replica.
    pub replica: usize,
    /// Its number, unique among all replicas.
    pub(crate) number: u64,
}

/// Tasks that have not ended, with their results.
pub struct Tasks<T> {
    tasks: BTreeMap<TaskId, Pin<Box<dyn Future<Output = T>>>>,
    next: u64,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Tasks { tasks: BTreeMap::new(), next: 0 }
    }
}

impl<T> Tasks<T> {
    /// Adds a task; it does nothing until it is polled.
    pub fn add(&mut self, replica: usize, task: impl Future<Output = T> + 'static) -> TaskId {
        self.next += 1;
        let id = TaskId { replica, number: self.next };
        self.tasks.insert(id, Box::pin(task));
        id
    }

    /// Polls a task; returns its result if it has ended.
    pub fn poll(&mut self, id: TaskId) -> Option<T> {
        let task = self.tasks.get_mut(&id)?;
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(made) => {
                self.tasks.remove(&id);
                Some(made)
            }
            Poll::Pending => None,
        }
    }

    /// Drops all tasks of a replica.
    pub fn kill(&mut self, replica: usize) {
        self.tasks.retain(|id, _| id.replica != replica);
    }
}
