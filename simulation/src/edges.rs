//! The filter's state machine with clocks of its own, and the callouts that a proxy makes for it.

use std::collections::BTreeMap;

use edge_key_auth::address::Address;
use edge_key_auth::clock::Moment;
use edge_key_auth::config::Config;
use edge_key_auth::filter::{self, Filter, Step};
use edge_key_auth::lookup::{CalloutId, StreamId};
use edge_key_auth::metrics::Counter;
use edge_key_auth::request::RequestHead;
use protocol::KeyDigest;

use crate::clock::MS;
use crate::oracle::Outcome;
use crate::profile::Profile;

mod callouts;
mod clocks;
mod decided;

pub(crate) use callouts::{Callout, CalloutRequest, CalloutResponse};
use clocks::Clocks;
pub(crate) use decided::Decided;

/// The timeout of a callout, in milliseconds; a sync adds the time that it may be held.
const TIMEOUT_MS: u64 = 1_000;

/// A small cache and few waiters, so that runs reach the limits.
const MAX_ACTIVE: usize = 6;
const MAX_INACTIVE: usize = 2;
const MAX_WAITERS: usize = 40;

fn configuration(serve_stale_s: u64) -> Vec<u8> {
    let on_unavailable = match serve_stale_s {
        0 => String::new(),
        seconds => format!(r#""on_unavailable":{{"serve_stale_s":{seconds}}},"#),
    };
    format!(
        r#"{{"key_service":{{"cluster":"k"}},{on_unavailable}"cache":{{"max_active":{MAX_ACTIVE},"max_inactive":{MAX_INACTIVE}}},
            "lookups":{{"max_digests":8,"max_waiters":{MAX_WAITERS}}}}}"#
    )
    .into_bytes()
}

/// One edge: a filter and what its proxy does for it.
pub(crate) struct Node {
    filter: Filter,
    clocks: Clocks,
    /// How often the edge was started. Answers to an earlier generation are dropped.
    pub(crate) generation: u64,
    /// The time until which it is paused.
    pub(crate) paused_until: Option<u64>,
    waiting: BTreeMap<u32, (KeyDigest, u64)>,
    outstanding: BTreeMap<u32, bool>,
    /// The latest sync. The end of a sync that was given up does not reach the filter.
    sync: u32,
    sync_sent: u64,
    /// Until when the edge may use cached verdicts without an answer.
    stale_end: u64,
    serve_stale_ms: u64,
    next_stream: u32,
    next_callout: u32,
}

impl Node {
    /// An edge that has just started.
    pub(crate) fn start(
        number: usize,
        generation: u64,
        random: &mut fastrand::Rng,
        profile: &Profile,
    ) -> Option<Self> {
        let config = Config::read(&configuration(profile.serve_stale_s)).ok()?;
        let id = format!("edge-{number}-{generation}");
        let seed = random.u64(..);
        Some(Node {
            filter: Filter::new(
                id,
                protocol::Node::default(),
                seed,
                u128::from(seed).to_le_bytes(),
                config.policy,
                config.cache,
                config.lookups,
            ),
            clocks: Clocks::new(random, profile.drift),
            generation,
            paused_until: None,
            waiting: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            sync: 0,
            sync_sent: 0,
            stale_end: 0,
            serve_stale_ms: profile.serve_stale_ms(),
            next_stream: 0,
            next_callout: 0,
        })
    }

    /// A reading of the edge's clocks.
    fn moment(&self, now: u64) -> Moment {
        self.clocks.moment(now)
    }

    /// Sets the wall clock forward or back.
    pub(crate) fn set_wall_clock(&mut self, by_ms: i64) {
        self.clocks.set_wall_clock(by_ms);
    }

    /// The machine was suspended for this time, and its monotonic clock stood still.
    pub(crate) fn was_suspended(&mut self, microseconds: u64) {
        self.clocks.was_suspended(microseconds);
    }

    /// A request arrives; returns how it ended, unless it is held.
    ///
    /// # Errors
    /// A stale verdict decided it too late.
    pub(crate) fn arrive(&mut self, value: &str, arrived: u64, now: u64) -> Result<Option<Decided>, String> {
        let moment = self.moment(now);
        let head = RequestHead {
            method: b"GET",
            path: b"/api/insights/",
            query: b"",
            has_encoded_slash: false,
            bearer_token: Some(value.as_bytes()),
            is_preflight: false,
        };
        self.next_stream += 1;
        let digest = KeyDigest::of_value(value);
        self.has_used_stale(moment);
        // Three addresses, so that requests of one are evicted in favour of another.
        let address = Address::V4(self.next_stream % 3);
        match self.filter.arrive(Ok(&head), || address, StreamId(self.next_stream), || moment) {
            Step::Decided(decided) => {
                let is_stale = self.has_used_stale(moment);
                self.judged(digest, arrived, &decided, is_stale, now).map(Some)
            }
            Step::Hold(_) => {
                self.waiting.insert(self.next_stream, (digest, arrived));
                Ok(None)
            }
        }
    }

    /// Whether the edge has used a stale verdict since the last call.
    fn has_used_stale(&mut self, moment: Moment) -> bool {
        let mut has_used = false;
        if self.serve_stale_ms == 0 {
            return false;
        }
        let count = |counter, _| has_used |= counter == Counter::Stale;
        self.filter.metrics(moment).drain(count, |_, _| {}, |_, _| {});
        has_used
    }

    /// The client of a random held request goes away.
    pub(crate) fn leave_one(&mut self, random: &mut fastrand::Rng) {
        let at = random.usize(..self.waiting.len().max(1));
        if let Some((&stream, &(digest, _))) = self.waiting.iter().nth(at) {
            self.waiting.remove(&stream);
            self.filter.leave(&digest, StreamId(stream));
        }
    }

    /// A callout ends; returns the requests that end with it.
    ///
    /// # Errors
    /// A request ended twice, or an answer was rejected.
    pub(crate) fn ended(
        &mut self,
        callout: u32,
        reply: Option<CalloutResponse>,
        now: u64,
    ) -> Result<Vec<Decided>, String> {
        use edge_key_auth::answer::{NoAnswer, read_sync, read_verify};
        let Some(is_sync) = self.outstanding.remove(&callout) else { return Ok(Vec::new()) };
        if is_sync && callout != self.sync {
            return Ok(Vec::new());
        }
        let moment = self.moment(now);
        let status = reply.as_ref().map(|_| 200);
        let body = reply.as_ref().map(CalloutResponse::body).unwrap_or_default();
        if is_sync {
            match self.filter.sync_ended(read_sync(status, &body), moment) {
                Some(Ok(())) => {
                    if let Some(CalloutResponse::Sync(response)) = &reply {
                        self.granted(response.lease_ms);
                    }
                    return Ok(Vec::new());
                }
                None | Some(Err(NoAnswer::Timeout)) => return Ok(Vec::new()),
                Some(Err(other)) => return Err(format!("a sync was answered, and yet: {other}")),
            }
        }
        let ended = self.filter.lookups_ended(
            CalloutId(callout),
            |lookups| read_verify(status, &body, lookups),
            moment,
        );
        let Some((outcomes, answer)) = ended else { return Ok(Vec::new()) };
        match answer {
            Ok(()) | Err(NoAnswer::Timeout) => self.decided(outcomes, reply.is_none(), now),
            Err(other) => Err(format!("a verify was answered, and yet: {other}")),
        }
    }

    /// The latest sync was answered with a lease.
    fn granted(&mut self, lease_ms: u64) {
        self.stale_end = self.sync_sent + self.clocks.longest(lease_ms + self.serve_stale_ms);
    }

    fn judged(
        &self,
        digest: KeyDigest,
        arrived: u64,
        filter_outcome: &filter::Outcome,
        is_stale: bool,
        now: u64,
    ) -> Result<Decided, String> {
        let outcome = Outcome::from(filter_outcome);
        let is_stale = is_stale && outcome != Outcome::Unavailable;
        if is_stale && now > self.stale_end {
            let late = (now - self.stale_end) / MS;
            return Err(format!("a request got a stale decision {late} ms after the end of the stale time"));
        }
        Ok(Decided { digest, arrived, outcome, is_stale, uncounted: self.clocks.uncounted() })
    }

    fn decided(
        &mut self,
        outcomes: Vec<(StreamId, filter::Outcome)>,
        is_stale: bool,
        now: u64,
    ) -> Result<Vec<Decided>, String> {
        let mut decided = Vec::new();
        for (StreamId(stream), outcome) in outcomes {
            let (digest, arrived) =
                self.waiting.remove(&stream).ok_or_else(|| format!("request {stream} was answered twice"))?;
            decided.push(self.judged(digest, arrived, &outcome, is_stale, now)?);
        }
        Ok(decided)
    }

    /// The requests that are refused after all callouts were sent.
    ///
    /// # Errors
    /// One of them ended twice.
    pub(crate) fn refused(&mut self, now: u64) -> Result<Vec<Decided>, String> {
        let refused = self.filter.refused(self.moment(now));
        self.decided(refused, true, now)
    }

    /// The callouts to send now, and in how many microseconds the timer is due.
    pub(crate) fn pump(&mut self, now: u64) -> (Vec<Callout>, Option<u64>) {
        let moment = self.moment(now);
        let mut callouts = Vec::new();
        while let Some(request) = self.filter.next_lookups() {
            self.next_callout += 1;
            self.filter.lookups_sent(CalloutId(self.next_callout), request.digests.clone(), moment);
            self.outstanding.insert(self.next_callout, false);
            callouts.push(Callout {
                id: self.next_callout,
                request: CalloutRequest::Verify(request),
                timeout: TIMEOUT_MS * MS,
            });
        }
        if let Some(request) = self.filter.next_sync(moment) {
            self.next_callout += 1;
            self.outstanding.insert(self.next_callout, true);
            (self.sync, self.sync_sent) = (self.next_callout, now);
            let timeout = (TIMEOUT_MS + request.wait_ms) * MS;
            callouts.push(Callout { id: self.next_callout, request: CalloutRequest::Sync(request), timeout });
        }
        (callouts, self.filter.sync_due_in_ms(moment).map(|due| (due + 1) * MS))
    }

    /// The number of held requests.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Checks the limits of cache and lookups.
    ///
    /// # Errors
    /// A limit is exceeded.
    pub(crate) fn check_bounds(&self) -> Result<(), String> {
        let (active, inactive) = self.filter.cached_verdicts();
        match self.waiting.len() {
            waiting if active <= MAX_ACTIVE && inactive <= MAX_INACTIVE && waiting <= MAX_WAITERS => Ok(()),
            waiting => Err(format!("an edge has {active} active, {inactive} inactive, {waiting} waiting")),
        }
    }
}
