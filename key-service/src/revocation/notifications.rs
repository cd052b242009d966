//! The latest position that this process knows, and waiting for a later one.

use std::time::Duration;

use ::leases::Position;
use tokio::sync::watch;

/// How long a wait lasts at most that begins after [`Notifications::close`], so that edges do not ask again at once.
const LAST_HOLD: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Default)]
struct Latest {
    position: Option<Position>,
    is_closing: bool,
}

/// Passes new positions on to the syncs that wait for one.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    latest: watch::Sender<Latest>,
}

impl Notifications {
    /// Notifies every waiting sync of a position, if it is later than the latest known one.
    pub(super) fn publish(&self, position: &Position) {
        self.latest.send_if_modified(|latest| {
            let is_later = latest.position.as_ref().is_none_or(|latest| is_beyond(position, latest));
            if is_later {
                latest.position = Some(position.clone());
            }
            is_later
        });
    }

    /// The highest known revision of an epoch; `None` if the latest position belongs to another epoch.
    pub(super) fn highest_of(&self, epoch: &str) -> Option<u64> {
        let latest = self.latest.borrow();
        latest.position.as_ref().filter(|position| position.epoch == epoch).map(|position| position.revision)
    }

    /// Whether a later position of the same epoch is known. Then the changes in between are lost.
    pub(super) fn is_behind(&self, position: &Position) -> bool {
        self.highest_of(&position.epoch).is_some_and(|highest| position.revision < highest)
    }

    /// Ends all waits. Later ones last [`LAST_HOLD`] at most.
    pub(super) fn close(&self) {
        self.latest.send_modify(|latest| latest.is_closing = true);
    }

    /// Waits for a position beyond this one. Returns `false` if there was none in time.
    pub(super) async fn wait_for_change(&self, beyond: &Position, at_most: Duration) -> bool {
        let mut receiver = self.latest.subscribe();
        let is_closing = receiver.borrow().is_closing;
        let at_most = if is_closing { at_most.min(LAST_HOLD) } else { at_most };
        let has_changed =
            |latest: &Latest| latest.position.as_ref().is_some_and(|latest| is_beyond(latest, beyond));
        let wait = receiver.wait_for(|latest| latest.is_closing && !is_closing || has_changed(latest));
        match tokio::time::timeout(at_most, wait).await {
            Ok(Ok(latest)) => has_changed(&latest),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

/// A position of another epoch counts as later: edges must then empty their caches.
fn is_beyond(position: &Position, than: &Position) -> bool {
    position.epoch != than.epoch || position.revision > than.revision
}
