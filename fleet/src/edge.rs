//! One simulated edge: it keeps its lease by the filter's own rules, and sends verifies on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use edge_key_auth::answer::{self, NoAnswer};
use edge_key_auth::clock::Moment;
use edge_key_auth::lease::Lease;
use hyper::Method;
use protocol::{Feature, KeyDigest, SYNC_PATH, SyncRequest, SyncResponse, VERIFY_PATH, VerifyRequest};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Connector, Failure, Protocol};
use crate::observations::{Granted, Observations};

/// How long an edge waits for an answer, besides the hold of a sync: the filter's default `timeout_ms`.
const TIMEOUT_MS: u64 = 1_000;

/// The state that all edges share.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) connector: Connector,
    pub(crate) observations: Observations,
    /// How long a sync may be held, in milliseconds.
    pub(crate) wait_ms: u64,
    /// The start of the monotonic clock.
    pub(crate) began: Instant,
}

impl Fleet {
    /// The clocks of all edges.
    pub(crate) fn now(&self) -> Moment {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { monotonic: ms(self.began.elapsed()), wall: ms(wall) }
    }
}

/// One edge.
#[derive(Debug)]
pub(crate) struct Edge {
    number: usize,
    id: String,
    tenure: Mutex<Tenure>,
    /// With HTTP/2, the connection for all requests; with HTTP/1.1, an idle one for verifies.
    connection: watch::Sender<Option<Connection>>,
}

/// A lease, and whether it was held at the last check.
#[derive(Debug)]
struct Tenure {
    lease: Lease,
    held_one: bool,
}

impl Tenure {
    fn check(&mut self, fleet: &Fleet, now: Moment) {
        let holds_one = self.lease.is_held(now);
        match (std::mem::replace(&mut self.held_one, holds_one), holds_one) {
            (false, true) => fleet.observations.lease_gained(),
            (true, false) => fleet.observations.lease_lost(),
            _ => {}
        }
    }
}

impl Edge {
    /// An edge that is not connected yet.
    pub(crate) fn new(number: usize) -> Self {
        let mut lease = Lease::new(fastrand::u64(..), 0);
        lease.subscribe();
        Edge {
            number,
            id: format!("{:032x}", fastrand::u128(..)),
            tenure: Mutex::new(Tenure { lease, held_one: false }),
            connection: watch::Sender::default(),
        }
    }

    /// Syncs until the task is dropped.
    pub(crate) async fn keep_lease(self: Arc<Self>, fleet: Arc<Fleet>) {
        let mut line = Line { connection: None, opened: self.number };
        loop {
            let now = fleet.now();
            let due_in_ms = self.tenure().lease.due_in_ms(now).unwrap_or_default();
            if due_in_ms > 0 {
                sleep(Duration::from_millis(due_in_ms)).await;
                continue;
            }
            let outcome = self.sync(&fleet, &mut line, now).await;
            if let Err(failure) = outcome {
                // Drop an HTTP/1.1 connection after a timeout, because its next response belongs to this request.
                line.connection.take_if(|connection| connection.is_closed() || connection.share().is_none());
                fleet.observations.sync_failed(self.number, &failure);
            }
        }
    }

    async fn sync(&self, fleet: &Fleet, line: &mut Line, now: Moment) -> Result<(), Failure> {
        let (request, position) = {
            let mut tenure = self.tenure();
            tenure.check(fleet, now);
            let position = tenure.lease.position().cloned();
            let wait_ms = if tenure.lease.may_be_held_back(now) { fleet.wait_ms } else { 0 };
            tenure.lease.sent(now);
            let (epoch, cursor) = position.as_ref().map(|at| (at.epoch.to_string(), at.cursor)).unzip();
            let edge = self.id.clone();
            let (used, node) = Default::default();
            (SyncRequest { edge, epoch, cursor, wait_ms, used, node }, position)
        };
        fleet.observations.sync_begins(self.number);
        let sent_at = Instant::now();
        let limit = Duration::from_millis(TIMEOUT_MS.saturating_add(request.wait_ms));
        let answer = timeout(limit, self.send_sync(fleet, line, &request)).await;
        let outcome = answer.unwrap_or_else(|_| Err(NoAnswer::Timeout.into()));

        let now = fleet.now();
        let mut tenure = self.tenure();
        // Count a lease that ended before this answer, even if the answer grants the next one.
        tenure.check(fleet, now);
        let answer = outcome.inspect_err(|_| tenure.lease.failed(now))?;
        let oldest_ms = tenure.held_one.then(|| tenure.lease.age_ms(now)).flatten();
        tenure.lease.answered(&answer, now).map_err(|_| NoAnswer::Contradiction)?;
        tenure.check(fleet, now);
        drop(tenure);
        fleet.observations.granted(Granted {
            edge: self.number,
            took: sent_at.elapsed(),
            was_held: request.wait_ms > 0,
            lease_age_ms: oldest_ms,
            reached: position.filter(|at| answer.revision > at.cursor).map(|_| answer.revision),
        });
        Ok(())
    }

    async fn send_sync(
        &self,
        fleet: &Fleet,
        line: &mut Line,
        request: &SyncRequest,
    ) -> Result<SyncResponse, Failure> {
        let connection = match line.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => line.connection.insert(connection),
            None => {
                line.opened += 1;
                let connection = fleet.connector.connect(line.opened).await?;
                if let Some(shared) = connection.share() {
                    self.connection.send_replace(Some(shared));
                }
                line.connection.insert(connection)
            }
        };
        let body = serde_json::to_vec(request).map_err(|_| NoAnswer::NotSent)?;
        fleet.observations.cursor_sent(self.number, request.cursor);
        let (status, body) = connection.request(Method::POST, SYNC_PATH, body).await?;
        Ok(answer::read_sync(Some(status), &body)?)
    }

    /// Verifies an invented key, and records the time.
    pub(crate) async fn verify(&self, fleet: &Fleet) {
        let began = Instant::now();
        let limit = Duration::from_millis(TIMEOUT_MS);
        let answer = timeout(limit, self.verify_invented_key(fleet)).await;
        let outcome = answer.unwrap_or_else(|_| Err(NoAnswer::Timeout.into()));
        fleet.observations.verified(outcome.map(|()| began.elapsed()));
    }

    async fn verify_invented_key(&self, fleet: &Fleet) -> Result<(), Failure> {
        let digest = KeyDigest::of_value(&format!("{:032x}", fastrand::u128(..)));
        let understands = vec![Feature::Restrictions];
        let request = VerifyRequest { edge: self.id.clone(), digests: vec![digest], understands };
        let body = serde_json::to_vec(&request).map_err(|_| NoAnswer::NotSent)?;
        let mut connection = match fleet.connector.protocol() {
            Protocol::Http2 => {
                let mut connections = self.connection.subscribe();
                let is_open = |connection: &Option<Connection>| {
                    connection.as_ref().is_some_and(|connection| !connection.is_closed())
                };
                let connection = connections.wait_for(is_open).await.map_err(|_| Failure::Lost)?;
                connection.as_ref().and_then(Connection::share).ok_or(Failure::Lost)?
            }
            Protocol::Http1 => {
                let mut idle = None;
                self.connection.send_if_modified(|connection| {
                    idle = connection.take();
                    false
                });
                match idle.filter(|connection| !connection.is_closed()) {
                    Some(connection) => connection,
                    None => fleet.connector.connect(self.number).await?,
                }
            }
        };
        let (status, body) = connection.request(Method::POST, VERIFY_PATH, body).await?;
        answer::read_verify(Some(status), &body, request.digests.len())?;
        if fleet.connector.protocol() == Protocol::Http1 {
            self.connection.send_replace(Some(connection));
        }
        Ok(())
    }

    /// Records whether the lease was gained or lost since the last check.
    pub(crate) fn check_lease(&self, fleet: &Fleet, now: Moment) {
        self.tenure().check(fleet, now);
    }

    fn tenure(&self) -> MutexGuard<'_, Tenure> {
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection of an edge's syncs.
#[derive(Debug)]
struct Line {
    connection: Option<Connection>,
    /// The number of connections so far, so that each goes to the next address.
    opened: usize,
}

/// Checks that a key service answers, with a verify without digests.
///
/// # Errors
/// It does not.
pub(crate) async fn introduce(connector: &Connector) -> Result<(), Failure> {
    let understands = vec![Feature::Restrictions];
    let request = VerifyRequest { edge: "fleet".to_owned(), digests: Vec::new(), understands };
    let body = serde_json::to_vec(&request).map_err(|_| NoAnswer::NotSent)?;
    let mut connection = connector.connect(0).await?;
    let (status, body) = connection.request(Method::POST, VERIFY_PATH, body).await?;
    answer::read_verify(Some(status), &body, 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::{Invalidation, SyncResponse};

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment { monotonic: ms, wall: 1_000_000 + ms }
    }

    #[test]
    fn a_lease_is_lost_when_it_ends_before_the_next_grant_counted_from_when_it_was_asked_for() {
        let began = Instant::now();
        let token = hyper::header::HeaderValue::from_static("Bearer t");
        let connector = Connector::new(Protocol::Http2, Vec::new(), token);
        let fleet = Fleet { connector, observations: Observations::new(1, began), wait_ms: 1, began };
        let edge = Edge::new(0);
        let grant = |sent, answered| {
            let answer = SyncResponse {
                epoch: "e1".into(),
                revision: 1,
                lease_ms: 100,
                invalidation: Invalidation::Reset,
            };
            let mut tenure = edge.tenure();
            tenure.lease.sent(at(sent));
            tenure.check(&fleet, at(answered));
            tenure.lease.answered(&answer, at(answered)).unwrap();
            tenure.check(&fleet, at(answered));
        };
        let holds = |ms| {
            edge.check_lease(&fleet, at(ms));
            fleet.observations.holding()
        };
        assert_eq!(holds(0), 0);
        grant(10, 90);
        assert_eq!(holds(109), 1);
        grant(50, 109);
        assert_eq!((holds(149), holds(150)), (1, 0));
        grant(150, 160);
        // The renewal comes a millisecond too late, which counts without a check in between.
        grant(200, 250);
        assert_eq!(holds(251), 1);
        assert_eq!(fleet.observations.take_counts().leases_lost, 2);
    }
}
