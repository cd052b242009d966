//! An edge that syncs.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use edge_key_auth::answer::VerifyAnswer;
use protocol::{Invalidation, KeyDigest, Node, SyncRequest};

use super::service::Service;

/// How long an edge asks the service to hold its syncs, in milliseconds.
pub(super) const WAIT_MS: u64 = 1_000;

/// The id of the edge in all checks but that of a silent edge. With one id, no lease of an earlier check delays a delete.
pub(super) const ID: &str = "conformance";

/// An edge: it has a position, and a lease since its first sync.
pub(super) struct Edge<'s> {
    service: &'s Service,
    request: SyncRequest,
    lease: Duration,
    lease_since: Instant,
}

/// What an edge has received.
#[derive(Default)]
pub(super) struct Received {
    digests: HashSet<KeyDigest>,
    was_reset: bool,
}

impl<'s> Edge<'s> {
    /// The first sync of an edge, without a position.
    pub(super) fn first_request(id: &str) -> SyncRequest {
        SyncRequest {
            edge: id.to_owned(),
            epoch: None,
            cursor: None,
            wait_ms: 0,
            used: BTreeMap::new(),
            node: Node::default(),
        }
    }

    /// An edge with a lease.
    pub(super) fn subscribed(service: &'s Service, id: &str) -> Result<Self> {
        let mut edge = Edge {
            service,
            request: Self::first_request(id),
            lease: Duration::ZERO,
            lease_since: Instant::now(),
        };
        edge.sync(0)?;
        Ok(edge)
    }

    /// Syncs, and moves the cursor. Returns the invalidation and how long the answer took.
    pub(super) fn sync(&mut self, wait_ms: u64) -> Result<(Invalidation, Duration)> {
        let sent_at = Instant::now();
        self.request.wait_ms = wait_ms;
        let (answer, took) = self.service.sync(&self.request)?;
        if let (Some(epoch), Some(cursor)) = (&self.request.epoch, self.request.cursor)
            && *epoch == answer.epoch
            && answer.revision < cursor
        {
            bail!("the revision went back from {cursor} to {} in the same epoch", answer.revision);
        }
        (self.request.epoch, self.request.cursor) = (Some(answer.epoch), Some(answer.revision));
        (self.lease, self.lease_since) = (Duration::from_millis(answer.lease_ms), sent_at);
        Ok((answer.invalidation, took))
    }

    /// Its next sync, to be changed by a check.
    pub(super) fn request(&self) -> &SyncRequest {
        &self.request
    }

    /// The length of its lease.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// When its lease ends.
    pub(super) fn lease_end(&self) -> Instant {
        self.lease_since + self.lease
    }

    /// Whether the edge has applied the state of an answer.
    pub(super) fn has_reached(&self, answer: &VerifyAnswer) -> bool {
        self.request.epoch.as_ref() == Some(&answer.epoch)
            && self.request.cursor.is_some_and(|cursor| cursor >= answer.revision)
    }

    /// Syncs until `stop`.
    pub(super) fn run(mut self, stop: &AtomicBool, received: &Mutex<Received>) -> Result<Self> {
        while !stop.load(Ordering::Acquire) {
            let (invalidation, _) = self.sync(WAIT_MS)?;
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            match invalidation {
                Invalidation::Changed(digests) => received.digests.extend(digests),
                Invalidation::Reset => received.was_reset = true,
            }
        }
        Ok(self)
    }
}

impl Received {
    /// Whether an edge with these changes has removed the digest.
    pub(super) fn has(&self, digest: KeyDigest) -> bool {
        self.was_reset || self.digests.contains(&digest)
    }
}
