//! What may happen to a request, and what may not.
//!
//! The oracle sees true time. A key's worth changes at commits; whoever made a change learns of it later, when it
//! returns. From then on the promise holds: no request that arrives afterwards is decided by what was before. Until
//! then either is right. A key that expires, and an old value of a rolled key, end by themselves. An edge that may use what
//! it knows while nobody answers does so for a while longer.

use std::collections::BTreeMap;
use std::fmt;

use protocol::KeyDigest;

use crate::clock::MS;
use crate::database::{STANDBY_SKEW_MS, Standing, Worth};
use crate::profile::{LONGEST_LIFE_MS, Profile};

/// How far the database's clock jumps at most when another server takes its place, in milliseconds.
const SKEW_MS: i64 = 2 * STANDBY_SKEW_MS;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its key was found to be worth this.
    Decided(Worth),
    /// Nobody could say.
    Unavailable,
}

/// Something happened that must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed that replays it.
    pub seed: u64,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, at {} ms: {}", self.seed, self.at_ms, self.what)
    }
}

impl std::error::Error for Violation {}

/// A span in which a digest had some standing.
#[derive(Clone, Copy, Debug)]
struct Span {
    standing: Standing,
    /// When the change that began it was committed.
    committed: u64,
    /// When the change that ended it had returned.
    over: Option<u64>,
}

/// How a request was decided. Times are the true ones, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// The key it had.
    pub digest: KeyDigest,
    /// When it came.
    pub arrived: u64,
    /// When it was decided.
    pub at: u64,
    /// What the key was found to be worth.
    pub found: Worth,
    /// How long after a change has returned it may still be decided by what was before.
    pub stale: u64,
    /// How long neither clock of the edge may have counted.
    pub uncounted: u64,
}

/// All that was ever true of each digest.
#[derive(Debug)]
pub struct Oracle {
    spans: BTreeMap<KeyDigest, Vec<Span>>,
    /// How long after its end by the database's clock a value may work, in milliseconds: an edge counts by its own clocks.
    slack_ms: i64,
}

impl Oracle {
    /// It has seen nothing yet.
    pub fn new(profile: &Profile) -> Self {
        let slack_ms = profile.apart_after_ms(LONGEST_LIFE_MS) as i64 + SKEW_MS;
        Oracle { spans: BTreeMap::new(), slack_ms }
    }

    /// A change was committed that gives a digest another standing.
    pub fn committed(&mut self, digest: KeyDigest, standing: Standing, now: u64) {
        let spans = self.spans.entry(digest).or_default();
        if spans.last().is_none_or(|last| last.standing != standing) {
            spans.push(Span { standing, committed: now, over: None });
        }
    }

    /// A change of digests has returned that was committed no later than that: what was before is over.
    pub fn returned(&mut self, digests: &[KeyDigest], committed: u64, now: u64) {
        for digest in digests {
            let spans = self.spans.get_mut(digest).map(Vec::as_mut_slice).unwrap_or_default();
            // A span ended when the next one began.
            for at in 1..spans.len() {
                if spans[at].committed <= committed && spans[at - 1].over.is_none() {
                    spans[at - 1].over = Some(now);
                }
            }
        }
    }

    /// Whether a request may be decided like this. `clock_ms` is what the database's clock says at a true time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, decision: &Decision, clock_ms: impl Fn(u64) -> i64) -> Result<(), String> {
        let Decision { digest, arrived, at, found, stale, uncounted } = *decision;
        let slack_ms = self.slack_ms + uncounted.div_ceil(MS) as i64;
        let none = Vec::new();
        let spans = self.spans.get(&digest).unwrap_or(&none);
        let may_be = |span: &Span| {
            let Standing { worth, ends_at_ms } = span.standing;
            let is_right = match found == worth {
                true => ends_at_ms.is_none_or(|end_ms| end_ms + slack_ms > clock_ms(arrived)),
                false => {
                    found == Worth::Nothing
                        && ends_at_ms.is_some_and(|end_ms| end_ms - SKEW_MS <= clock_ms(at))
                }
            };
            is_right && span.committed <= at && span.over.is_none_or(|over| over + stale > arrived)
        };
        let unknown = spans.is_empty() && found == Worth::Nothing;
        if unknown || spans.iter().any(may_be) {
            return Ok(());
        }
        let told = |span: &Span| {
            let Standing { worth, ends_at_ms } = span.standing;
            let ends_in_ms = ends_at_ms.map(|end_ms| end_ms - clock_ms(at));
            (worth, ends_in_ms, span.committed / MS, span.over.map(|over| over / MS))
        };
        Err(format!(
            "a request that came at {} ms was decided as {found:?}; the key's history is {:?}",
            arrived / MS,
            spans.iter().map(told).collect::<Vec<_>>()
        ))
    }
}
