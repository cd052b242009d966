//! What the service does: its tasks, and what they have made.

use key_service::leases::{sync, verify};
use protocol::KeyDigest;

use super::{Checked, Made, World};
use crate::database::SimulatedLedger;
use crate::edges::{Call, Question, Reply};
use crate::kernel::{Event, TaskId};

impl World {
    pub(super) fn poll(&mut self, task: TaskId) -> Checked {
        let Some(made) = self.tasks.poll(task, &self.shared) else { return Ok(()) };
        match made {
            Made::Change { covers, revocation, told } => {
                let is_told = |value: &&(String, String, KeyDigest)| Some(value.2) == told;
                self.known.extend(self.values.iter().position(|value| is_told(&value)));
                self.changed(task, covers, revocation)
            }
            Made::Answer { edge, generation, call, reply, is_duplicate } => {
                if !is_duplicate {
                    self.send_back(edge, generation, call, reply);
                }
                Ok(())
            }
        }
    }

    pub(super) fn asked(&mut self, edge: usize, generation: u64, call: Call, is_duplicate: bool) {
        if !self.service_is_up {
            // The connection is refused, which the proxy notices at once.
            self.send_back(edge, generation, call.id, None);
            return;
        }
        let ledger = SimulatedLedger(self.shared.clone());
        let (id, terms) = (call.id, self.terms);
        let task = match call.question {
            Question::Verify(request) => self.tasks.add(async move {
                let Ok(response) = verify::answer(&ledger, &request).await;
                Made::Answer {
                    edge,
                    generation,
                    call: id,
                    reply: Some(Reply::Verify(response)),
                    is_duplicate,
                }
            }),
            Question::Sync(request) => self.tasks.add(async move {
                let Ok(response) = sync::answer(&ledger, terms, &request).await;
                Made::Answer { edge, generation, call: id, reply: Some(Reply::Sync(response)), is_duplicate }
            }),
        };
        self.kernel().after(0, Event::Poll(task));
    }
}
