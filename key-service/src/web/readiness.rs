//! Whether the service can do its work now, for load balancers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::revocation::Store;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    store: Store,
    has_begun_to_stop: Arc<AtomicBool>,
    was_ready: Arc<AtomicBool>,
}

/// What is answered: each check by name.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Report {
    status: &'static str,
    checks: Checks,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Checks {
    /// The database answers.
    database: &'static str,
    /// It can be written.
    writes: &'static str,
    /// It has the tables that this program needs.
    migrations: &'static str,
    /// The service is not about to end.
    shutdown: &'static str,
}

const OK: &str = "ok";
const FAILED: &str = "failed";

impl Readiness {
    /// Of a service that is about to begin.
    pub(crate) fn new(store: Store) -> Self {
        Readiness { store, has_begun_to_stop: Arc::default(), was_ready: Arc::new(AtomicBool::new(true)) }
    }

    /// From now on the service is not ready any more.
    pub(crate) fn stop(&self) {
        self.has_begun_to_stop.store(true, Ordering::Relaxed);
    }

    /// Checks everything, within a second.
    pub(crate) async fn report(&self) -> Report {
        let (is_migrated, can_write) = tokio::join!(self.store.is_migrated(), self.store.can_write());
        let told = |works| if works { OK } else { FAILED };
        let checks = Checks {
            database: told(is_migrated.is_some()),
            writes: told(can_write),
            migrations: match is_migrated {
                Some(is_migrated) => told(is_migrated),
                None => "unknown",
            },
            shutdown: if self.has_begun_to_stop.load(Ordering::Relaxed) { "begun" } else { OK },
        };
        let report = Report { status: if checks.are_ok() { "ready" } else { "not ready" }, checks };
        // Once for each change: the question comes every few seconds.
        if self.was_ready.swap(checks.are_ok(), Ordering::Relaxed) != checks.are_ok() {
            tracing::warn!(status = report.status, ?checks, "readiness changed");
        }
        report
    }
}

impl Checks {
    fn are_ok(self) -> bool {
        [self.database, self.writes, self.migrations, self.shutdown] == [OK; 4]
    }
}

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        let status = if self.checks.are_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}
