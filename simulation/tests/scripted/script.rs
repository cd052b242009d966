//! The service's replicas on their database, moved on by hand: one transaction at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use leases::propagation::await_acknowledgements;
use leases::{AffectedKeys, LeaseConfig, Revocation, change, sync, verify};
use protocol::{KeyDigest, SyncRequest, SyncResponse, VerifyRequest, VerifyResponse};
use simulation::Profile;
use simulation::database::{Broken, Effect, Key, User};
use simulation::kernel::{Kernel, Shared};
use simulation::lease_store::SimulatedLeaseStore;
use simulation::outage::Outage;
use simulation::statement::Batch;
use simulation::tasks::{TaskId, Tasks};

/// Two replicas and their tasks.
pub(crate) struct Script {
    pub(crate) shared: Shared<()>,
    lease_configs: Vec<LeaseConfig>,
    tasks: Tasks<()>,
    /// The replica that gets the next request.
    pub(crate) replica: usize,
}

/// What a task has made, when it has ended.
pub(crate) type Answer<T> = Rc<RefCell<Option<Result<T, Broken>>>>;

/// What became of a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Changed {
    /// It is made.
    Now(Revocation),
    /// There was no such key any more.
    Before,
}

impl Script {
    /// A service with one key.
    pub(crate) fn new() -> Self {
        Self::with_lease_configs(vec![LeaseConfig::default(); 2])
    }

    /// The same, and what each replica grants.
    pub(crate) fn with_lease_configs(lease_configs: Vec<LeaseConfig>) -> Self {
        let mut profile = Profile::of_seed(0);
        (profile.replicas, profile.drift, profile.skew_ms) = (2, 0, 0);
        profile.outages = vec![(Outage::FailedOver, 1)];
        profile.losses = Default::default();
        profile.lease_configs = lease_configs;
        let lease_configs = profile.lease_configs.clone();
        let mut kernel = Kernel::new(profile);
        let data = &mut kernel.database.data;
        data.users.insert("user".into(), User::default());
        data.keys.insert("key".into(), Key::new("user", old_value()));
        Script {
            shared: Shared(Arc::new(Mutex::new(kernel))),
            lease_configs,
            tasks: Tasks::default(),
            replica: 0,
        }
    }

    fn start<T: 'static>(
        &mut self,
        task: impl Future<Output = Result<T, Broken>> + 'static,
    ) -> (TaskId, Answer<T>) {
        let answer = Rc::new(RefCell::new(None));
        let filled = Rc::clone(&answer);
        let id = self.tasks.add(self.replica, async move { *filled.borrow_mut() = Some(task.await) });
        self.poll(id);
        (id, answer)
    }

    fn poll(&mut self, task: TaskId) {
        self.shared.lock().current = task;
        self.tasks.poll(task);
    }

    /// Performs one transaction of a task. Returns `false` if the task waits for something else, or has ended.
    pub(crate) fn step(&mut self, task: TaskId) -> bool {
        let mut kernel = self.shared.lock();
        let happened = kernel.perform_next_of(task);
        happened.flatten().into_iter().for_each(|batch| kernel.end_batch(task.replica, batch));
        drop(kernel);
        self.poll(task);
        happened.is_some()
    }

    /// Runs a task until it waits for another one, or has ended.
    pub(crate) fn finish(&mut self, task: TaskId) {
        for _ in 0..50 {
            self.step(task);
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.shared.lock().now += milliseconds * 1_000;
    }

    fn lease_store(&self) -> SimulatedLeaseStore<()> {
        SimulatedLeaseStore::new(&self.shared)
    }

    /// Syncs as an edge whose cursor is this revision of the first epoch.
    pub(crate) fn sync(&mut self, edge: &str, cursor: u64) -> (TaskId, Answer<SyncResponse>) {
        self.sync_held(edge, cursor, 0)
    }

    /// The same, and the replica may hold the sync for `wait_ms`.
    pub(crate) fn sync_held(
        &mut self,
        edge: &str,
        cursor: u64,
        wait_ms: u64,
    ) -> (TaskId, Answer<SyncResponse>) {
        let lease_store = self.lease_store();
        let (epoch, cursor) = (Some("epoch-0".to_owned()), Some(cursor));
        let (edge, used, node) = (edge.to_owned(), Default::default(), Default::default());
        let request = SyncRequest { edge, epoch, cursor, wait_ms, used, node };
        let config = self.lease_configs[self.replica];
        self.start(async move { sync::answer(&lease_store, config, &request).await })
    }

    pub(crate) fn verify(&mut self) -> (TaskId, Answer<VerifyResponse>) {
        let lease_store = self.lease_store();
        let request =
            VerifyRequest { edge: "edge".into(), digests: vec![old_value()], understands: Vec::new() };
        self.start(async move { verify::answer(&lease_store, &request).await })
    }

    /// Changes the key.
    pub(crate) fn change(&mut self, effect: Effect) -> (TaskId, Answer<Changed>) {
        let lease_store = self.lease_store();
        self.start(async move {
            let mut pending = change::begin(&lease_store, &AffectedKeys::Key("key".into())).await?;
            if pending.change().has_key("key") {
                pending.change().effect = Some(effect);
                let position = pending.commit().await?;
                return Ok(Changed::Now(await_acknowledgements(&lease_store, &position, |_| {}).await?));
            }
            pending.await_earlier_change().await?;
            Ok(Changed::Before)
        })
    }

    pub(crate) fn delete(&mut self) -> (TaskId, Answer<Changed>) {
        self.change(Effect::Delete("key".into()))
    }

    /// Kills a replica with its tasks.
    pub(crate) fn kill(&mut self, replica: usize) {
        self.shared.lock().kill(replica);
        self.tasks.kill(replica);
    }

    /// Crashes the database, which then recovers. With `lacking`, a standby that lacks this number of changes takes over.
    pub(crate) fn crash_database(&mut self, lacking: Option<usize>) {
        let mut kernel = self.shared.lock();
        kernel.crash_database(lacking);
        kernel.database.is_up = true;
    }

    /// Performs a transaction of a task without its answer.
    pub(crate) fn perform(&mut self, task: TaskId) {
        self.shared.lock().perform_next_of(task);
    }

    /// Delivers the answer to a batch of the first replica.
    pub(crate) fn end_batch(&mut self, batch: Batch) {
        self.shared.lock().end_batch(0, batch);
    }
}

pub(crate) fn old_value() -> KeyDigest {
    KeyDigest::of_value("phx_old")
}

pub(crate) fn new_value() -> KeyDigest {
    KeyDigest::of_value("phx_new")
}

/// A roll of the key to its new value.
pub(crate) fn rolls() -> Effect {
    Effect::Roll { key: "key".into(), digest: new_value(), grace_ms: 0 }
}

pub(crate) fn has_ended<T>(answer: &Answer<T>) -> bool {
    answer.borrow().is_some()
}

pub(crate) fn succeeded_with<T>(answer: &Answer<T>, is_expected: impl Fn(&T) -> bool) -> bool {
    matches!(&*answer.borrow(), Some(Ok(answer)) if is_expected(answer))
}
