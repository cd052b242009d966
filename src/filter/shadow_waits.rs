//! How long requests in shadow mode wait for their lookups.

use std::collections::VecDeque;

use protocol::KeyDigest;

use super::{Filter, Outcomes};
use crate::clock::{Deadline, Moment};
use crate::lookup::StreamId;
use crate::mode::Shadow;

/// How long a request in shadow mode waits for its lookup at most, in milliseconds.
const LONGEST_WAIT_MS: u64 = 100;

/// The waits of requests in shadow mode, in the order of their ends. A wait that has ended early stays until its end.
#[derive(Debug, Default)]
pub(super) struct ShadowWaits(VecDeque<ShadowWait>);

#[derive(Debug)]
struct ShadowWait {
    end: Deadline,
    shadow: Shadow,
    digest: KeyDigest,
    stream: StreamId,
}

impl ShadowWaits {
    pub(super) fn begin(&mut self, shadow: Shadow, digest: KeyDigest, stream: StreamId, now: Moment) {
        self.0.push_back(ShadowWait { end: now.plus(LONGEST_WAIT_MS), shadow, digest, stream });
    }

    fn next_ended(&mut self, now: Moment) -> Option<ShadowWait> {
        self.0.pop_front_if(|wait| wait.end.has_come(now))
    }
}

impl Filter {
    /// The outcomes of requests in shadow mode that have waited long enough. Their lookups go on for the requests that
    /// still wait.
    pub fn undecided(&mut self, now: Moment) -> Outcomes {
        let mut outcomes = Vec::new();
        while let Some(ShadowWait { shadow, digest, stream, .. }) = self.shadow_waits.next_ended(now) {
            if self.lookups.give_up(&digest, stream).is_some() {
                outcomes.push((stream, self.forward_shadowed(shadow.undecided())));
            }
        }
        outcomes
    }

    /// Milliseconds until [`Filter::undecided`] has to be called; `None` if no request in shadow mode waits.
    pub fn undecided_in_ms(&self, now: Moment) -> Option<u64> {
        self.shadow_waits.0.front().map(|wait| wait.end.left_ms(now))
    }
}
