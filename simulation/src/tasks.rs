//! The tasks of the service's replicas.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A task of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// Whose it is.
    pub replica: usize,
    /// Its number, among the tasks of all.
    pub number: u64,
}

/// Tasks that are under way, each with what it makes.
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

    /// Lets a task go on; what it made if it has ended.
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

    /// Ends all tasks of a replica where they are.
    pub fn kill(&mut self, replica: usize) {
        self.tasks.retain(|id, _| id.replica != replica);
    }
}
