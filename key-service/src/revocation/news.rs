//! How far the history goes, as far as this process has heard, and waiting for it to go further.

use std::time::Duration;

use ::leases::Position;
use tokio::sync::watch;

/// How long somebody waits who begins to when all waiting has ended.
const LAST_HOLD: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Default)]
struct Heard {
    position: Option<Position>,
    is_closing: bool,
}

/// What this process has heard.
#[derive(Debug, Default)]
pub(super) struct News {
    heard: watch::Sender<Heard>,
}

impl News {
    /// Tells everybody who waits that the history goes this far.
    pub(super) fn tell(&self, position: &Position) {
        self.heard.send_if_modified(|heard| {
            let is_new = heard.position.as_ref().is_none_or(|heard| is_beyond(position, heard));
            if is_new {
                heard.position = Some(position.clone());
            }
            is_new
        });
    }

    /// The highest revision of an epoch that this process has heard of, if it is the epoch that it heard of last.
    pub(super) fn highest_of(&self, epoch: &str) -> Option<u64> {
        let heard = self.heard.borrow();
        heard.position.as_ref().filter(|position| position.epoch == epoch).map(|position| position.revision)
    }

    /// Whether a place is before one of the same epoch that this process has heard of: whatever came between is lost.
    pub(super) fn is_behind(&self, position: &Position) -> bool {
        self.highest_of(&position.epoch).is_some_and(|highest| position.revision < highest)
    }

    /// Ends all waiting, and lets nobody wait for long any more.
    pub(super) fn close(&self) {
        self.heard.send_modify(|heard| heard.is_closing = true);
    }

    /// Waits until the history goes beyond a place; `false` if the time was over before.
    pub(super) async fn beyond(&self, place: &Position, at_most: Duration) -> bool {
        let mut hears = self.heard.subscribe();
        // Who comes back at once is not to do so again and again.
        let is_closing = hears.borrow().is_closing;
        let at_most = if is_closing { at_most.min(LAST_HOLD) } else { at_most };
        let is_news = |heard: &Heard| heard.position.as_ref().is_some_and(|heard| is_beyond(heard, place));
        let waiting = hears.wait_for(|heard| heard.is_closing && !is_closing || is_news(heard));
        match tokio::time::timeout(at_most, waiting).await {
            Ok(Ok(heard)) => is_news(&heard),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

/// Another history is as good as news.
fn is_beyond(position: &Position, than: &Position) -> bool {
    position.epoch != than.epoch || position.revision > than.revision
}
