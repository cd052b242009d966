//! Operations on the whole database: it loses leases, moves, prunes changes and lowers the lease limit.

use super::*;

impl Sequence<'_> {
    /// Prunes the changes up to one of the latest revisions. Cursors from before get a reset in the same epoch.
    pub(super) async fn prune(&mut self) -> Checked {
        self.let_go().await;
        let to = self.model.data(|data| data.position.revision).saturating_sub(self.random.u64(..4));
        let process = self.process();
        self.note((process, "prune to", to));
        self.store.prune(process, to).await;
        self.model.prune(to);
        Ok(())
    }

    /// Loses leases or more, or only restarts both processes.
    pub(super) async fn lose(&mut self) -> Checked {
        self.let_go().await;
        self.grant_others();
        match self.random.u32(..3) {
            0 => self.store.restart().await,
            1 => {
                self.note("the leases are lost");
                // On PostgreSQL, a crash and a move have the same effect.
                match self.store.is_sqlite() {
                    true => self.model.lose_leases(),
                    false => self.model.begin_history(),
                }
                self.set_clock().await;
                self.store.lose_leases().await;
            }
            _ => {
                self.note("the database is elsewhere");
                if self.store.is_sqlite() {
                    // A backup knows no shorter leases than the usual ones, because the service may run until the restore.
                    let usual_ms = LeaseConfig::default().lasts_ms();
                    self.model.data(|data| data.longest_lease_ms = data.longest_lease_ms.max(usual_ms));
                    self.model.prune_all();
                }
                self.model.begin_history();
                self.set_clock().await;
                self.store.move_elsewhere().await;
            }
        }
        // Reads contain the epoch, so the store's new epoch must be known before the next read.
        self.compare(0, Question::History(None)).await?;
        self.model.announce(&self.store.lasts_ms);
        self.compare_limit().await
    }

    /// Chooses new lease lengths for both processes before they restart. On PostgreSQL both get the same, because each new
    /// connection announces them again at an unknown time.
    pub(super) fn grant_others(&mut self) {
        let lengths = [1_000, 4_000, 8_000, LONGEST_MS];
        self.store.lasts_ms = [(); PROCESSES].map(|()| lengths[self.random.usize(..lengths.len())]);
        if !self.store.is_sqlite() {
            self.store.lasts_ms = [self.store.lasts_ms[0]; PROCESSES];
        }
        self.note(("restart, and grant", self.store.lasts_ms));
        self.model.grant(self.store.lasts_ms[0]);
    }

    /// Lowers the limits of the lease length, sometimes after every longer lease must have ended.
    pub(super) async fn lower(&mut self) -> Checked {
        self.let_go().await;
        if self.random.bool() {
            self.note("pass 90 s");
            self.model.pass(90_000);
            self.set_clock().await;
        }
        let process = self.process();
        self.note((process, "lower"));
        self.store.process(process).lower_lease_bounds().await.map_err(|error| error.to_string())?;
        self.model.lower(self.store.lasts_ms[process]);
        self.compare_limit().await
    }

    pub(super) async fn compare_limit(&mut self) -> Checked {
        let found = self.store.lease_limit_ms().await;
        same("the limit", found, self.model.data(|data| data.lease_limit_ms))
    }
}
