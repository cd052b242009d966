//! Reports to load balancers whether the service can serve requests now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::revocation::Store;

/// The state of the checks.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    store: Store,
    is_shutting_down: Arc<AtomicBool>,
    was_ready: Arc<AtomicBool>,
}

/// The response: the result of each check.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ReadinessReport {
    status: &'static str,
    checks: Checks,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Checks {
    /// The database responds.
    database: &'static str,
    /// The database accepts writes.
    writes: &'static str,
    /// The database has the tables of this version.
    migrations: &'static str,
    /// The service is not shutting down.
    shutdown: &'static str,
}

const OK: &str = "ok";
const FAILED: &str = "failed";

impl Readiness {
    /// The state of a service that starts.
    pub(crate) fn new(store: Store) -> Self {
        Readiness { store, is_shutting_down: Arc::default(), was_ready: Arc::new(AtomicBool::new(true)) }
    }

    /// Marks the service as shutting down.
    pub(crate) fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Ordering::Relaxed);
    }

    /// Runs all checks within one second.
    pub(crate) async fn report(&self) -> ReadinessReport {
        let (is_migrated, can_write) = tokio::join!(self.store.is_migrated(), self.store.can_write());
        let result = |works| if works { OK } else { FAILED };
        let checks = Checks {
            database: result(is_migrated.is_some()),
            writes: result(can_write),
            migrations: match is_migrated {
                Some(is_migrated) => result(is_migrated),
                None => "unknown",
            },
            shutdown: if self.is_shutting_down.load(Ordering::Relaxed) { "begun" } else { OK },
        };
        let report = ReadinessReport { status: if checks.are_ok() { "ready" } else { "not ready" }, checks };
        // Log only changes, because load balancers ask every few seconds.
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

impl IntoResponse for ReadinessReport {
    fn into_response(self) -> Response {
        let status = if self.checks.are_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}
