//! What may happen to a request, and what may not.
//!
//! The oracle sees true time. A key's worth changes at commits; whoever made a change learns of it later, when it
//! returns. From then on the promise holds: no request that arrives afterwards is decided by what was before. Until
//! then either is right.

use std::collections::BTreeMap;
use std::fmt;

use protocol::KeyDigest;

use crate::database::Worth;
use crate::profile::MS;

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

/// A span in which a digest had some worth.
#[derive(Clone, Copy, Debug)]
struct Span {
    worth: Worth,
    /// When the change that began it was committed.
    committed: u64,
    /// When the change that ended it had returned.
    over: Option<u64>,
}

/// All that was ever true of each digest.
#[derive(Debug, Default)]
pub struct Oracle {
    spans: BTreeMap<KeyDigest, Vec<Span>>,
}

impl Oracle {
    /// A change was committed that gives a digest another worth.
    pub fn committed(&mut self, digest: KeyDigest, worth: Worth, now: u64) {
        let spans = self.spans.entry(digest).or_default();
        if spans.last().is_none_or(|last| last.worth != worth) {
            spans.push(Span { worth, committed: now, over: None });
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

    /// Whether a request with this key, that came at `arrived`, may be decided like this now.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, digest: &KeyDigest, arrived: u64, found: Worth, now: u64) -> Result<(), String> {
        let none = Vec::new();
        let spans = self.spans.get(digest).unwrap_or(&none);
        let may_be = |span: &Span| span.committed <= now && span.over.is_none_or(|over| over > arrived);
        let unknown = spans.is_empty() && found == Worth::Nothing;
        if unknown || spans.iter().any(|span| span.worth == found && may_be(span)) {
            return Ok(());
        }
        Err(format!(
            "a request that came at {} ms was decided as {found:?}; the key's history is {:?}",
            arrived / MS,
            spans
                .iter()
                .map(|span| (span.worth, span.committed / MS, span.over.map(|over| over / MS)))
                .collect::<Vec<_>>()
        ))
    }
}
