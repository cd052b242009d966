//! The simulation's model of the database, through the same `LeaseStore` as the SQL.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use leases::{AffectedKeys, Change, LeaseConfig, LeaseStore, Position};
use simulation::Profile;
use simulation::database::{Broken, Data, Effect};
use simulation::kernel::{Kernel, Shared};
use simulation::lease_store::{SimulatedChange, SimulatedLeaseStore};
use simulation::outage::Outage;
use simulation::tasks::Tasks;

/// The longest lease, margin included, in milliseconds.
pub(crate) const LONGEST_MS: u64 = 20_000;

/// The longest time between the store's reads of the lease limit and of the clock, in milliseconds.
const LONGEST_RECORD_MS: i64 = 60_000;

/// The model. Every transaction happens at once.
pub(crate) struct Model {
    shared: Shared<()>,
    tasks: Tasks<()>,
}

impl Model {
    /// An empty database at this revision.
    pub(crate) fn new(revision: u64) -> Self {
        let mut profile = Profile::of_seed(0);
        (profile.replicas, profile.drift, profile.skew_ms, profile.is_patient) = (1, 0, 0, false);
        profile.outages = vec![(Outage::FailedOver, 1)];
        profile.losses = Default::default();
        profile.lease_configs =
            vec![LeaseConfig { lease_ms: LONGEST_MS, margin_ms: 0, ..LeaseConfig::default() }];
        let mut kernel = Kernel::new(profile);
        kernel.database.data.position.revision = revision;
        kernel.database.data.longest_record_ms = LONGEST_RECORD_MS;
        Model { shared: Shared(Arc::new(Mutex::new(kernel))), tasks: Tasks::default() }
    }

    /// Runs an operation on the database and returns its result.
    pub(crate) fn run<T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        task: impl FnOnce(SimulatedLeaseStore<()>) -> F,
    ) -> T {
        let answer = Rc::new(RefCell::new(None));
        let (filled, task) = (Rc::clone(&answer), task(SimulatedLeaseStore::new(&self.shared)));
        let id = self.tasks.add(0, async move { *filled.borrow_mut() = Some(task.await) });
        loop {
            self.shared.lock().current = id;
            if self.tasks.poll(id).is_some() {
                break;
            }
            let mut kernel = self.shared.lock();
            let happened = kernel.perform_next_of(id).expect("the model's operation waits for another one");
            happened.into_iter().for_each(|batch| kernel.end_batch(0, batch));
        }
        answer.take().expect("the task has ended")
    }

    /// Makes a change and returns its position.
    pub(crate) fn change(&mut self, affected: AffectedKeys, effect: Effect) -> Result<Position, Broken> {
        self.run(|lease_store| async move {
            let mut change = lease_store.begin().await?;
            let changed = change.digests(&affected).await?;
            change.effect = Some(effect);
            change.commit(&changed).await
        })
    }

    /// Begins a change.
    pub(crate) fn begin(&mut self) -> SimulatedChange<()> {
        self.run(|lease_store| async move { lease_store.begin().await }).expect("the database is up")
    }

    /// Reads the data, or alters what needs no change.
    pub(crate) fn data<T>(&self, look: impl FnOnce(&mut Data) -> T) -> T {
        look(&mut self.shared.lock().database.data)
    }

    /// The clock of the database, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        let kernel = self.shared.lock();
        kernel.database.clock_ms(kernel.now)
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.shared.lock().now += milliseconds * 1_000;
    }

    /// Loses the leases. The epoch stays.
    pub(crate) fn lose_leases(&mut self) {
        let now_ms = self.now_ms();
        self.data(|data| data.lose_leases(now_ms));
    }

    /// Sets the lease length of the process that detects a loss.
    pub(crate) fn grant(&mut self, lasts_ms: u64) {
        self.shared.lock().profile.lease_configs[0].lease_ms = lasts_ms;
    }

    /// Announces the lease lengths of the processes, one after the other.
    pub(crate) fn announce(&mut self, lasts_ms: &[u64]) {
        let now_ms = self.now_ms();
        self.data(|data| lasts_ms.iter().for_each(|lasts_ms| data.announce(*lasts_ms, now_ms)));
    }

    /// Lowers the limits of the lease length, as a process with this lease length does.
    pub(crate) fn lower(&mut self, lasts_ms: u64) {
        let now_ms = self.now_ms();
        self.data(|data| data.lower_longest(lasts_ms, now_ms));
    }

    /// Crashes or replaces the database: the leases are lost, and a new epoch begins.
    pub(crate) fn begin_history(&mut self) {
        let mut kernel = self.shared.lock();
        kernel.crash_database(Some(0));
        kernel.database.is_up = true;
    }

    /// Prunes the changes up to a revision. A revision that changed no value is pruned only with a later one.
    pub(crate) fn prune(&mut self, to: u64) {
        let mut kernel = self.shared.lock();
        let data = &kernel.database.data;
        let last =
            data.history.iter().map(|(revision, _)| *revision).filter(|revision| *revision <= to).max();
        let kept = last.map(|last| data.position.revision - last);
        kept.into_iter().for_each(|kept| kernel.database.prune(kept));
    }

    /// Prunes the whole history.
    pub(crate) fn prune_all(&mut self) {
        self.shared.lock().database.prune(0);
    }
}
