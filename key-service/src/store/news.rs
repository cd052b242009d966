//! How far the history goes, as far as this process has heard, and waiting for it to go further.

use std::time::Duration;

use sqlx::AnyPool;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use super::revision;

/// How often the database is asked whether another process made a change.
const POLL: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    revision: u64,
    is_closing: bool,
}

/// What this process has heard.
#[derive(Debug)]
pub(super) struct News {
    heard: watch::Sender<Heard>,
    /// When the database was asked last.
    polled: Mutex<Instant>,
}

impl Default for News {
    fn default() -> Self {
        News { heard: watch::Sender::default(), polled: Mutex::new(Instant::now()) }
    }
}

impl News {
    /// Tells everybody who waits that the history goes this far.
    pub(super) fn tell(&self, revision: u64) {
        self.heard.send_if_modified(|heard| {
            let is_new = revision > heard.revision;
            heard.revision = heard.revision.max(revision);
            is_new
        });
    }

    /// Ends all waiting, and lets nobody wait any more.
    pub(super) fn close(&self) {
        self.heard.send_modify(|heard| heard.is_closing = true);
    }

    /// Waits until the history goes beyond a revision, or the database fails; `false` if the time was over before.
    pub(super) async fn beyond(&self, revision: u64, at_most: Duration, pool: &AnyPool) -> bool {
        let mut hears = self.heard.subscribe();
        tokio::select! {
            heard = hears.wait_for(|heard| heard.is_closing || heard.revision > revision) => {
                heard.is_ok_and(|heard| heard.revision > revision)
            }
            () = self.poll(pool) => true,
            () = tokio::time::sleep(at_most) => false,
        }
    }

    /// Asks the database again and again, for everybody: of those who wait, one has the lock, and the next gets it
    /// when that one waits no longer. Returns only if the database fails; who waits asks it next, and is told why.
    async fn poll(&self, pool: &AnyPool) {
        let mut polled = self.polled.lock().await;
        loop {
            sleep_until(*polled + POLL).await;
            *polled = Instant::now();
            match revision::current(pool).await {
                Ok(revision) => self.tell(revision),
                Err(_) => return,
            }
        }
    }
}
