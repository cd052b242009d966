//! Keys that are created and deleted, and how the edges acknowledge that.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::connection::{Connector, Failure};
use crate::observations::{Observations, first_times};
use crate::statistics::{Spread, ms};

/// How long an answer of the public API may take: longer than any sensible lease.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long edges that had no lease at the delete are waited for after it has returned.
const STRAGGLERS: Duration = Duration::from_secs(10);

/// How often they are looked for.
const LOOK: Duration = Duration::from_millis(20);

const KEYS: &str = "/api/personal_api_keys/";

/// What a delete came to. Times are in milliseconds from when the DELETE was sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeleteReport {
    /// The revision that it made.
    pub(crate) revision: u64,
    /// By when it was committed, at the latest.
    pub(crate) committed_within_ms: f64,
    /// How many edges the change was told to, and when.
    pub(crate) told_edges: usize,
    pub(crate) told: Option<Spread>,
    /// How many edges acknowledged it, and when.
    pub(crate) acknowledged_edges: usize,
    pub(crate) acknowledged: Option<Spread>,
    /// When the DELETE returned.
    pub(crate) returned_ms: f64,
    /// What it returned.
    pub(crate) revocation: Revocation,
}

/// What the service says of a delete.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Revocation {
    pub(crate) revision: u64,
    pub(crate) edges: u64,
    pub(crate) acknowledged: u64,
    pub(crate) expired: u64,
    pub(crate) elapsed_ms: u64,
}

/// The public API refused, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    Failure(#[from] Failure),
    #[error("no answer in {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("status {status}: {}", detail.escape_debug())]
    Status { status: u16, detail: String },
    #[error("an answer that is not as expected: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error(
        "there is no active user, other than admins, whose keys could be created and deleted; make one with `key-service \
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

/// A user's keys, through the public API.
#[derive(Debug)]
pub(crate) struct Keys {
    connector: Connector,
    user_id: String,
    /// A key that is there, until it is known to be deleted.
    left_over: Option<String>,
}

impl Keys {
    /// The keys of the first user that may have some, and that user's address. A token reaches no admin's.
    ///
    /// # Errors
    /// The API refuses to tell, or there is none.
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

    /// Creates a key, deletes it, and waits for all edges' acknowledgements.
    ///
    /// # Errors
    /// The key cannot be created or deleted. One that is left over is deleted the next time.
    pub(crate) async fn delete_one(&mut self, observations: &Observations) -> Result<DeleteReport, ApiError> {
        let id = match &self.left_over {
            Some(id) => id.clone(),
            None => self.left_over.insert(self.create().await?).clone(),
        };
        let path = format!("{KEYS}{id}/");
        // The connection is made before, so that only the request counts.
        let mut connection = self.connector.connect(0).await?;
        observations.listen();
        let sent_at = Instant::now();
        let answer = timeout(ANSWER_TIMEOUT, connection.request(Method::DELETE, &path, Vec::new())).await;
        let returned = sent_at.elapsed();
        let answered = answer.map_err(|_| ApiError::Timeout).and_then(|answer| Ok(answer?));
        let body = answered.and_then(accept);
        // A key that is not there was deleted by a request whose answer was lost.
        if matches!(body, Ok(_) | Err(ApiError::Status { status: 404, .. })) {
            self.left_over = None;
        }
        let revocation = serde_json::from_slice::<Deleted>(&body?)?.revocation;
        let revision = revocation.revision;
        let began = Instant::now();
        while observations.acknowledged(revision) < observations.edges() && began.elapsed() < STRAGGLERS {
            sleep(LOOK).await;
        }
        let heard = observations.heard();
        let times = |reached: &[_]| {
            let first = first_times(reached, revision, observations.edges());
            first.into_iter().map(|at| at.saturating_duration_since(sent_at)).collect::<Vec<_>>()
        };
        let (told, acknowledged) = (times(&heard.told), times(&heard.acknowledged));
        Ok(DeleteReport {
            revision,
            committed_within_ms: (ms(returned) - revocation.elapsed_ms as f64).max(0.0),
            told_edges: told.len(),
            told: Spread::of(told),
            acknowledged_edges: acknowledged.len(),
            acknowledged: Spread::of(acknowledged),
            returned_ms: ms(returned),
            revocation,
        })
    }

    /// Deletes the key that is left over, if one is.
    ///
    /// # Errors
    /// It cannot be deleted; the message names it.
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

/// The body of an answer that says yes.
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
