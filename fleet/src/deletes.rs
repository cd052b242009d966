//! Creates and deletes keys, and measures the acknowledgements of the edges.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::connection::{Connector, Failure};
use crate::observations::{Observations, first_times};
use crate::statistics::{Spread, ms};

/// How long an answer of the public API may take. It is longer than any sensible lease.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the fleet waits, after a DELETE has returned, for edges that had no lease.
const STRAGGLERS: Duration = Duration::from_secs(10);

/// How often it checks for them.
const LOOK: Duration = Duration::from_millis(20);

const KEYS: &str = "/api/personal_api_keys/";

/// The result of a delete. Times are in milliseconds from when the DELETE was sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeleteReport {
    /// Its revision.
    pub(crate) revision: u64,
    /// The latest possible time of its commit.
    pub(crate) committed_within_ms: f64,
    /// The number of edges that received the change, and the times.
    pub(crate) received_edges: usize,
    pub(crate) received: Option<Spread>,
    /// The number of edges that acknowledged it, and the times.
    pub(crate) acknowledged_edges: usize,
    pub(crate) acknowledged: Option<Spread>,
    /// When the DELETE returned.
    pub(crate) returned_ms: f64,
    /// The body of its answer.
    pub(crate) revocation: Revocation,
}

/// The service's report of a delete.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Revocation {
    pub(crate) revision: u64,
    pub(crate) edges: u64,
    pub(crate) acknowledged: u64,
    pub(crate) expired: u64,
    pub(crate) elapsed_ms: u64,
}

/// The public API refused a request or did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    Failure(#[from] Failure),
    #[error("no answer in {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("status {status}: {}", detail.escape_debug())]
    Status { status: u16, detail: String },
    #[error("an unexpected answer: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error(
        "there is no active user, other than admins, whose keys could be created and deleted; create one with `key-service \
         user add`"
    )]
    NoUser,
}

#[derive(Deserialize)]
struct Page<T> {
    results: Vec<T>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    email: String,
    is_active: bool,
    is_admin: bool,
}

#[derive(Deserialize)]
struct Key {
    id: String,
}

#[derive(Deserialize)]
struct Deleted {
    revocation: Revocation,
}

#[derive(Serialize)]
struct NewKey<'a> {
    label: &'a str,
    scopes: [&'a str; 1],
    user_id: &'a str,
}

/// The keys of a user, through the public API.
#[derive(Debug)]
pub(crate) struct Keys {
    connector: Connector,
    user_id: String,
    /// A key that was created and is not known to be deleted.
    left_over: Option<String>,
}

impl Keys {
    /// The keys of the first user who is not an admin, and the email address of this user. A token cannot manage an admin's keys.
    ///
    /// # Errors
    /// The API refuses, or there is no such user.
    pub(crate) async fn of_somebody(connector: Connector) -> Result<(Self, String), ApiError> {
        let body = call(&connector, Method::GET, "/api/users/", Vec::new()).await?;
        let users: Page<User> = serde_json::from_slice(&body)?;
        let user = users.results.into_iter().find(|user| user.is_active && !user.is_admin);
        let user = user.ok_or(ApiError::NoUser)?;
        Ok((Keys { connector, user_id: user.id, left_over: None }, user.email))
    }

    async fn create(&self) -> Result<String, ApiError> {
        let new = NewKey { label: "fleet", scopes: ["insight:read"], user_id: &self.user_id };
        let body = call(&self.connector, Method::POST, KEYS, serde_json::to_vec(&new)?).await?;
        Ok(serde_json::from_slice::<Key>(&body)?.id)
    }

    /// Creates a key, deletes it and waits for the acknowledgements of all edges.
    ///
    /// # Errors
    /// The key cannot be created or deleted. The next call deletes a key that is left over.
    pub(crate) async fn delete_one(&mut self, observations: &Observations) -> Result<DeleteReport, ApiError> {
        let id = match &self.left_over {
            Some(id) => id.clone(),
            None => self.left_over.insert(self.create().await?).clone(),
        };
        let path = format!("{KEYS}{id}/");
        // Connect first, so that only the request is measured.
        let mut connection = self.connector.connect(0).await?;
        observations.keep_revisions();
        let sent_at = Instant::now();
        let answer = timeout(ANSWER_TIMEOUT, connection.request(Method::DELETE, &path, Vec::new())).await;
        let returned = sent_at.elapsed();
        let answered = answer.map_err(|_| ApiError::Timeout).and_then(|answer| Ok(answer?));
        let body = answered.and_then(accept);
        // A missing key was deleted by a request whose answer was lost.
        if matches!(body, Ok(_) | Err(ApiError::Status { status: 404, .. })) {
            self.left_over = None;
        }
        let revocation = serde_json::from_slice::<Deleted>(&body?)?.revocation;
        let revision = revocation.revision;
        let began = Instant::now();
        while observations.acknowledged(revision) < observations.edges() && began.elapsed() < STRAGGLERS {
            sleep(LOOK).await;
        }
        let revisions = observations.take_revisions();
        let times = |reached: &[_]| {
            let first = first_times(reached, revision, observations.edges());
            first.into_iter().map(|at| at.saturating_duration_since(sent_at)).collect::<Vec<_>>()
        };
        let (received, acknowledged) = (times(&revisions.received), times(&revisions.acknowledged));
        Ok(DeleteReport {
            revision,
            committed_within_ms: (ms(returned) - revocation.elapsed_ms as f64).max(0.0),
            received_edges: received.len(),
            received: Spread::of(received),
            acknowledged_edges: acknowledged.len(),
            acknowledged: Spread::of(acknowledged),
            returned_ms: ms(returned),
            revocation,
        })
    }

    /// Deletes the key that is left over, if any.
    ///
    /// # Errors
    /// The key cannot be deleted. The message names it.
    pub(crate) async fn clean_up(&mut self) -> Result<(), String> {
        let Some(id) = self.left_over.take() else { return Ok(()) };
        let deleted = call(&self.connector, Method::DELETE, &format!("{KEYS}{id}/"), Vec::new()).await;
        match deleted {
            Ok(_) | Err(ApiError::Status { status: 404, .. }) => Ok(()),
            Err(error) => Err(format!("the key {id} is left over: {error}")),
        }
    }
}

async fn call(connector: &Connector, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, ApiError> {
    let asking = async { connector.connect(0).await?.request(method, path, body).await };
    accept(timeout(ANSWER_TIMEOUT, asking).await.map_err(|_| ApiError::Timeout)??)
}

/// The body of a successful answer.
fn accept((status, body): (u16, Bytes)) -> Result<Bytes, ApiError> {
    if (200..300).contains(&status) {
        return Ok(body);
    }
    #[derive(Deserialize)]
    struct Refusal {
        detail: String,
    }
    let refusal = serde_json::from_slice::<Refusal>(&body);
    let detail = refusal.map_or_else(|_| "no reason given".to_owned(), |refusal| refusal.detail);
    Err(ApiError::Status { status, detail })
}
