//! An edge that a test controls.

use std::collections::{BTreeMap, HashSet};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol::{Invalidation, KeyDigest, SyncRequest, SyncResponse};
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{Browser, TOKEN, TestApp, client, key_path};

/// The shortest leases that the service offers, more or less, as flags.
pub(crate) const SHORT_LEASES: [&str; 4] = ["--hold-ms", "200", "--lease-ms", "2400"];

/// How long a lease and its margin last with [`SHORT_LEASES`].
pub(crate) const LASTS: Duration = Duration::from_millis(3_400);

/// A wait that the service cannot have cut short, although clocks are read at different moments.
pub(crate) const ALMOST: Duration = Duration::from_millis(3_350);

/// What happens without waiting for a lease; generous, since tests run side by side.
pub(crate) const SOON: Duration = Duration::from_millis(1_500);

/// Gives a command [`SHORT_LEASES`].
pub(crate) fn short_leases(command: &mut Command) -> &mut Command {
    command.args(SHORT_LEASES)
}

pub(crate) struct Edge {
    client: reqwest::Client,
    url: String,
    pub(crate) request: SyncRequest,
}

impl Edge {
    pub(crate) fn new(app: &TestApp, id: &str) -> Self {
        Edge {
            client: client(),
            url: format!("{}/edge/v1/sync", app.edge),
            request: SyncRequest {
                edge: id.to_owned(),
                epoch: None,
                cursor: None,
                wait_ms: 0,
                used: BTreeMap::new(),
                node: Default::default(),
            },
        }
    }

    /// An edge with a lease and the latest position.
    pub(crate) async fn subscribed(app: &TestApp, id: &str) -> Self {
        let mut edge = Edge::new(app, id);
        assert_eq!(edge.sync(0).await.invalidation, Invalidation::Reset);
        edge
    }

    /// The next request, not sent yet.
    pub(crate) fn asks(&self, wait_ms: u64) -> RequestBuilder {
        let request = SyncRequest { wait_ms, ..self.request.clone() };
        self.client.post(&self.url).bearer_auth(TOKEN).json(&request)
    }

    /// Syncs and moves the cursor. The next request acknowledges the changes of this answer.
    pub(crate) async fn sync(&mut self, wait_ms: u64) -> SyncResponse {
        let response = self.asks(wait_ms).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let response: SyncResponse = response.json().await.unwrap();
        (self.request.epoch, self.request.cursor) = (Some(response.epoch.clone()), Some(response.revision));
        response
    }

    /// Syncs again and again, as an edge does.
    pub(crate) fn run(mut self) -> RunningEdge {
        let invalidated = Arc::new(Mutex::new(HashSet::new()));
        let received = invalidated.clone();
        let task = tokio::spawn(async move {
            loop {
                let response = self.sync(60_000).await;
                if let Invalidation::Changed(changed) = response.invalidation {
                    received.lock().unwrap().extend(changed);
                }
            }
        });
        RunningEdge { invalidated, task }
    }
}

/// An edge that syncs until it is dropped.
pub(crate) struct RunningEdge {
    invalidated: Arc<Mutex<HashSet<KeyDigest>>>,
    task: JoinHandle<()>,
}

impl RunningEdge {
    /// Whether the edge has received a change of this value.
    pub(crate) fn has_received(&self, value: &str) -> bool {
        assert!(!self.task.is_finished());
        self.invalidated.lock().unwrap().contains(&KeyDigest::of_value(value))
    }
}

impl Drop for RunningEdge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Deletes a key in the background; the answer and the moment it came.
pub(crate) fn delete_later(browser: &Browser, key: &Value) -> JoinHandle<(u16, Value, Instant)> {
    let (browser, path) = (browser.clone(), key_path(key));
    tokio::spawn(async move {
        let (status, body) = browser.delete(&path).await;
        (status.as_u16(), body, Instant::now())
    })
}

/// `edges`, `acknowledged` and `expired` of an answer's revocation.
pub(crate) fn outcome(answer: &Value) -> [u64; 3] {
    ["edges", "acknowledged", "expired"].map(|field| answer["revocation"][field].as_u64().unwrap())
}
