//! The service's tasks and their results.

use leases::{sync, verify};

use super::World;
use super::world_event::{Checked, Made};
use crate::edges::{Callout, CalloutRequest, CalloutResponse};
use crate::kernel::Event;
use crate::lease_store::SimulatedLeaseStore;
use crate::tasks::TaskId;

impl World {
    pub(super) fn poll(&mut self, task: TaskId) -> Checked {
        self.kernel().current = task;
        let Some(made) = self.tasks.poll(task) else { return Ok(()) };
        match made {
            Made::Change(made) => self.changed(task, made),
            Made::Answer { edge, generation, callout, reply, is_duplicate } => {
                if !is_duplicate {
                    self.send_back(edge, generation, callout, reply);
                }
                Ok(())
            }
        }
    }

    pub(super) fn callout_arrived(
        &mut self,
        edge: usize,
        generation: u64,
        callout: Callout,
        is_duplicate: bool,
    ) {
        let replica = self.replica_for(edge);
        if !self.kernel().replicas[replica].is_up {
            // The proxy notices a refused connection at once.
            self.send_back(edge, generation, callout.id, None);
            return;
        }
        let lease_store = SimulatedLeaseStore::new(&self.shared);
        let (id, config) = (callout.id, self.kernel().profile.lease_configs[replica]);
        let answer = move |reply| Made::Answer { edge, generation, callout: id, reply, is_duplicate };
        let task = match callout.request {
            CalloutRequest::Verify(request) => self.tasks.add(replica, async move {
                answer(verify::answer(&lease_store, &request).await.ok().map(CalloutResponse::Verify))
            }),
            CalloutRequest::Sync(request) => {
                if let Some((epoch, cursor)) = request.epoch.clone().zip(request.cursor) {
                    let latest = self.acknowledged.entry((request.edge.clone(), epoch)).or_default();
                    *latest = cursor.max(*latest);
                }
                self.tasks.add(replica, async move {
                    answer(sync::answer(&lease_store, config, &request).await.ok().map(CalloutResponse::Sync))
                })
            }
        };
        self.kernel().after(0, Event::Poll(task));
    }

    /// The replica that a callout of an edge reaches.
    fn replica_for(&self, edge: usize) -> usize {
        let usual = {
            let kernel = self.kernel();
            let usual = edge % kernel.replicas.len();
            (kernel.profile.is_sticky && kernel.replicas[usual].is_up).then_some(usual)
        };
        usual.unwrap_or_else(|| self.some_replica())
    }
}
