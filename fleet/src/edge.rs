//! One simulated edge: it keeps its lease by the filter's own rules, and asks what it is told to ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use edge_key_auth::answer::{self, NoAnswer};
use edge_key_auth::clock::Moment;
use edge_key_auth::lease::Lease;
use hyper::Method;
use protocol::{KeyDigest, SYNC_PATH, SyncRequest, SyncResponse, VERIFY_PATH, VerifyRequest};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Connector, Failure, Protocol};
use crate::observations::{Granted, Observations};

/// How long a proxy waits for an answer, beyond what the question allows: the filter's default `timeout_ms`.
const TIMEOUT_MS: u64 = 1_000;

/// What all edges have in common.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) connector: Connector,
    pub(crate) observations: Observations,
    /// How long a sync may be held, in milliseconds.
    pub(crate) wait_ms: u64,
    /// Where the monotonic clock begins.
    pub(crate) began: Instant,
}

impl Fleet {
    /// What the edges' clocks say: they run on one machine.
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
    /// With HTTP/2 the connection for all requests; with HTTP/1.1 an idle one, for a verify while a sync is held.
    connection: watch::Sender<Option<Connection>>,
}

/// A lease, and whether it was held when that was last looked at.
#[derive(Debug)]
struct Tenure {
    lease: Lease,
    held_one: bool,
}

impl Tenure {
    fn look(&mut self, fleet: &Fleet, now: Moment) {
        let holds_one = self.lease.is_held(now);
        match (std::mem::replace(&mut self.held_one, holds_one), holds_one) {
            (false, true) => fleet.observations.lease_gained(),
            (true, false) => fleet.observations.lease_lost(),
            _ => {}
        }
    }
}

impl Edge {
    /// An edge that does nothing yet.
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

    /// Syncs for good.
    pub(crate) async fn keep_lease(self: Arc<Self>, fleet: Arc<Fleet>) {
        let mut line = Line { connection: None, turn: self.number };
        loop {
            let now = fleet.now();
            let due_in_ms = self.tenure().lease.due_in_ms(now).unwrap_or_default();
            if due_in_ms > 0 {
                sleep(Duration::from_millis(due_in_ms)).await;
                continue;
            }
            let outcome = self.sync(&fleet, &mut line, now).await;
            if let Err(failure) = outcome {
                // What an unanswered HTTP/1.1 connection would say next belongs to the question that was given up.
                line.connection.take_if(|connection| connection.is_closed() || connection.share().is_none());
                fleet.observations.sync_failed(self.number, &failure);
            }
        }
    }

    async fn sync(&self, fleet: &Fleet, line: &mut Line, now: Moment) -> Result<(), Failure> {
        let (request, position) = {
            let mut tenure = self.tenure();
            tenure.look(fleet, now);
            let position = tenure.lease.position().cloned();
            let wait_ms = if tenure.lease.may_be_held_back(now) { fleet.wait_ms } else { 0 };
            tenure.lease.sent(now);
            let (epoch, cursor) = position.as_ref().map(|at| (at.epoch.to_string(), at.cursor)).unzip();
            let used = Default::default();
            (SyncRequest { edge: self.id.clone(), epoch, cursor, wait_ms, used }, position)
        };
        fleet.observations.sync_begins(self.number);
        let sent_at = Instant::now();
        let limit = Duration::from_millis(TIMEOUT_MS.saturating_add(request.wait_ms));
        let asked = timeout(limit, self.ask(fleet, line, &request)).await;
        let outcome = asked.unwrap_or_else(|_| Err(NoAnswer::Timeout.into()));

        let now = fleet.now();
        let mut tenure = self.tenure();
        // A lease that ended before this answer was lost, however soon the next one comes.
        tenure.look(fleet, now);
        let answer = outcome.inspect_err(|_| tenure.lease.failed(now))?;
        let oldest_ms = tenure.held_one.then(|| tenure.lease.age_ms(now)).flatten();
        tenure.lease.answered(&answer, now).map_err(|_| NoAnswer::Contradiction)?;
        tenure.look(fleet, now);
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

    async fn ask(
        &self,
        fleet: &Fleet,
        line: &mut Line,
        request: &SyncRequest,
    ) -> Result<SyncResponse, Failure> {
        let connection = match line.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => line.connection.insert(connection),
            None => {
                line.turn += 1;
                let connection = fleet.connector.connect(line.turn).await?;
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

    /// Asks what a key is worth that nobody has, and tells how long that took.
    pub(crate) async fn verify(&self, fleet: &Fleet) {
        let began = Instant::now();
        let limit = Duration::from_millis(TIMEOUT_MS);
        let asked = timeout(limit, self.ask_about_a_key(fleet)).await;
        let outcome = asked.unwrap_or_else(|_| Err(NoAnswer::Timeout.into()));
        fleet.observations.verified(outcome.map(|()| began.elapsed()));
    }

    async fn ask_about_a_key(&self, fleet: &Fleet) -> Result<(), Failure> {
        let digest = KeyDigest::of_value(&format!("{:032x}", fastrand::u128(..)));
        let request = VerifyRequest { edge: self.id.clone(), digests: vec![digest] };
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

    /// Notices if a lease was gained, or has run out, since the last time.
    pub(crate) fn look_at_lease(&self, fleet: &Fleet, now: Moment) {
        self.tenure().look(fleet, now);
    }

    fn tenure(&self) -> MutexGuard<'_, Tenure> {
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an edge's syncs go over.
#[derive(Debug)]
struct Line {
    connection: Option<Connection>,
    /// Counts the connections, so that each goes to the next address.
    turn: usize,
}

/// Asks a key service nothing, to see that it would answer.
///
/// # Errors
/// It would not.
pub(crate) async fn introduce(connector: &Connector) -> Result<(), Failure> {
    let request = VerifyRequest { edge: "fleet".to_owned(), digests: Vec::new() };
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
                epoch: "l".into(),
                revision: 1,
                lease_ms: 100,
                invalidation: Invalidation::Reset,
            };
            let mut tenure = edge.tenure();
            tenure.lease.sent(at(sent));
            tenure.look(&fleet, at(answered));
            tenure.lease.answered(&answer, at(answered)).unwrap();
            tenure.look(&fleet, at(answered));
        };
        let holds = |ms| {
            edge.look_at_lease(&fleet, at(ms));
            fleet.observations.holding()
        };
        assert_eq!(holds(0), 0);
        grant(10, 90);
        assert_eq!(holds(109), 1);
        grant(50, 109);
        assert_eq!((holds(149), holds(150)), (1, 0));
        grant(150, 160);
        // Renewed a millisecond too late: noticed although nobody looked in between.
        grant(200, 250);
        assert_eq!(holds(251), 1);
        assert_eq!(fleet.observations.take_counts().leases_lost, 2);
    }
}
