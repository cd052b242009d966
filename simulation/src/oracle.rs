//! Judges the decision on each request.
//!
//! The oracle sees true time. The validity of a digest changes when a change commits. When the change returns, the
//! promise holds: no request that arrives afterwards is decided by the earlier validity. Between commit and return both
//! are right. An expired key and the old value of a rolled key end by themselves. With `serve_stale_s`, an edge may
//! use the earlier validity for a while longer.

use std::collections::BTreeMap;
use std::fmt;

use protocol::KeyDigest;

use crate::clock::MS;
use crate::database::{STANDBY_SKEW_MS, Standing, Validity};
use crate::profile::{LONGEST_LIFE_MS, Profile};

/// How far the database's clock jumps at most in a failover, in milliseconds.
const SKEW_MS: i64 = 2 * STANDBY_SKEW_MS;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The edge decided that its key has this validity.
    Decided(Validity),
    /// It was answered 503.
    Unavailable,
}

/// A violation of the promise or of another invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed of the run.
    pub(crate) seed: u64,
    /// When, in milliseconds.
    pub(crate) at_ms: u64,
    /// What.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, at {} ms: {}", self.seed, self.at_ms, self.what)
    }
}

impl std::error::Error for Violation {}

/// A span in which a digest had one standing.
#[derive(Clone, Copy, Debug)]
struct Span {
    standing: Standing,
    /// When the change that began it was committed.
    committed: u64,
    /// When the change that ended it returned.
    over: Option<u64>,
}

/// How a request was decided. Times are true times, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    /// The digest of its key.
    pub(crate) digest: KeyDigest,
    /// When it arrived.
    pub(crate) arrived: u64,
    /// When it was decided.
    pub(crate) at: u64,
    /// The validity that the edge decided.
    pub(crate) found: Validity,
    /// How long after the return of a change the earlier validity may still be used.
    pub(crate) stale: u64,
    /// How much time neither clock of the edge may have counted.
    pub(crate) uncounted: u64,
}

/// The history of each digest.
#[derive(Debug)]
pub(crate) struct Oracle {
    spans: BTreeMap<KeyDigest, Vec<Span>>,
    /// How long after its end a value may work, in milliseconds: the database and the edge count by different clocks.
    slack_ms: i64,
}

impl Oracle {
    /// An oracle without history.
    pub(crate) fn new(profile: &Profile) -> Self {
        let slack_ms = profile.apart_after_ms(LONGEST_LIFE_MS) as i64 + SKEW_MS;
        Oracle { spans: BTreeMap::new(), slack_ms }
    }

    /// A change was committed that may give a digest another standing.
    pub(crate) fn committed(&mut self, digest: KeyDigest, standing: Standing, now: u64) {
        let spans = self.spans.entry(digest).or_default();
        if spans.last().is_none_or(|last| last.standing != standing) {
            spans.push(Span { standing, committed: now, over: None });
        }
    }

    /// A change of these digests has returned, and with it every change that was committed no later than `committed`.
    /// Their earlier standing is over.
    pub(crate) fn returned(&mut self, digests: &[KeyDigest], committed: u64, now: u64) {
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

    /// Whether a decision is right. `clock_ms` gives the database's clock at a true time.
    ///
    /// # Errors
    /// Why it is wrong.
    pub(crate) fn judge(&self, decision: &Decision, clock_ms: impl Fn(u64) -> i64) -> Result<(), String> {
        let Decision { digest, arrived, at, found, stale, uncounted } = *decision;
        let slack_ms = self.slack_ms + uncounted.div_ceil(MS) as i64;
        let none = Vec::new();
        let spans = self.spans.get(&digest).unwrap_or(&none);
        let may_be = |span: &Span| {
            let Standing { validity, ends_at_ms } = span.standing;
            let is_right = match found == validity {
                true => ends_at_ms.is_none_or(|end_ms| end_ms + slack_ms > clock_ms(arrived)),
                false => {
                    found == Validity::Nothing
                        && ends_at_ms.is_some_and(|end_ms| end_ms - SKEW_MS <= clock_ms(at))
                }
            };
            is_right && span.committed <= at && span.over.is_none_or(|over| over + stale > arrived)
        };
        let unknown = spans.is_empty() && found == Validity::Nothing;
        if unknown || spans.iter().any(may_be) {
            return Ok(());
        }
        let shown = |span: &Span| {
            let Standing { validity, ends_at_ms } = span.standing;
            let ends_in_ms = ends_at_ms.map(|end_ms| end_ms - clock_ms(at));
            (validity, ends_in_ms, span.committed / MS, span.over.map(|over| over / MS))
        };
        Err(format!(
            "a request that came at {} ms was decided as {found:?}; the key's history is {:?}",
            arrived / MS,
            spans.iter().map(shown).collect::<Vec<_>>()
        ))
    }
}
