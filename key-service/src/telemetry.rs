//! The metrics for Prometheus. No label has a value from a client.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use protocol::{Invalidation, Verdict};
use strum::VariantNames;

use crate::time::Timestamp;

/// The media type of [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The upper bounds of the duration histograms, in seconds: from a lookup to more than a lease and its margin.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The upper bounds of the histogram of operations in a batch.
const BATCH_SIZES: [f64; 8] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0];

/// The metrics of this process.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// All metrics except those read from the database for each scrape ([`State`]).
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    request_seconds: Family<Route, Histogram, fn() -> Histogram>,
    verdicts: Family<OutcomeLabel, Counter>,
    syncs: Family<OutcomeLabel, Counter>,
    syncs_held: Gauge,
    revocation_seconds: Histogram,
    revocation_edges: Family<OutcomeLabel, Counter>,
    sign_ins: Family<OutcomeLabel, Counter>,
    database_errors: Counter,
    webhook_attempts: Family<OutcomeLabel, Counter>,
    batch_size: Family<Operation, Histogram, fn() -> Histogram>,
    batch_seconds: Family<Operation, Histogram, fn() -> Histogram>,
}

/// The label of batches: the kind of operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Route {
    /// `public` or `edge`.
    pub(crate) listener: &'static str,
    /// The method, or a placeholder for unusual ones.
    pub(crate) method: &'static str,
    /// The route's template, never the path.
    pub(crate) route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    #[prometheus(flatten)]
    route: Route,
    status: u16,
}

/// The label of counters by outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl OutcomeLabel {
    fn of(outcome: impl Into<&'static str>) -> Self {
        OutcomeLabel { outcome: outcome.into() }
    }
}

/// The kind of a verdict.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
enum VerdictKind {
    Active,
    Inactive,
}

/// The answer to a sync.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
enum SyncAnswer {
    Changes,
    Reset,
    Unchanged,
}

/// How the wait for an edge ended.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
enum EdgeWait {
    Acknowledged,
    /// The edge's lease ended first.
    Expired,
}

/// The outcome of a sign-in attempt.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum SignIn {
    /// The user has a session.
    Succeeded,
    /// The address or the password was wrong.
    Refused,
    /// There had been too many attempts.
    Throttled,
}

/// The outcome of a delivery attempt to the webhook.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum WebhookAttempt {
    /// The receiver accepted the message.
    Delivered,
    /// The message will be retried.
    Failed,
    /// The last attempt failed.
    GivenUp,
}

impl Metrics {
    fn new() -> Self {
        let mut metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            verdicts: outcomes::<VerdictKind>(),
            syncs: outcomes::<SyncAnswer>(),
            syncs_held: Gauge::default(),
            revocation_seconds: seconds(),
            revocation_edges: outcomes::<EdgeWait>(),
            sign_ins: outcomes::<SignIn>(),
            database_errors: Counter::default(),
            webhook_attempts: outcomes::<WebhookAttempt>(),
            batch_size: Family::new_with_constructor(batch_sizes),
            batch_seconds: Family::new_with_constructor(seconds),
        };
        let of_process = &mut metrics.registry;
        of_process.register_with_unit(
            "process_start_time",
            "When the process started, since 1970-01-01 UTC",
            Unit::Seconds,
            ConstGauge::new(Timestamp::now().unix_ms() as f64 / 1_000.0),
        );

        let of_service = of_process.sub_registry_with_prefix(PREFIX);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        of_service.register("build", "What runs", build);
        let (name, help) = ("http_request_duration", "Time until the answer begins");
        of_service.register_with_unit(name, help, Unit::Seconds, metrics.request_seconds.clone());
        let (name, help) =
            ("revocation_duration", "Time from the commit of a change until it applied on every edge");
        of_service.register_with_unit(name, help, Unit::Seconds, metrics.revocation_seconds.clone());
        of_service.register("http_requests", "Requests answered", metrics.requests.clone());
        of_service.register("verdicts", "Verdicts sent to edges", metrics.verdicts.clone());
        of_service.register("syncs", "Syncs answered, by their result", metrics.syncs.clone());
        of_service.register("syncs_held", "Syncs held back now", metrics.syncs_held.clone());
        let help = "Edges that changes waited for, by how that ended";
        of_service.register("revocation_edges", help, metrics.revocation_edges.clone());
        of_service.register("sign_ins", "Attempts to sign in", metrics.sign_ins.clone());
        of_service.register("database_errors", "Failures of the database", metrics.database_errors.clone());
        let help = "Attempts to deliver to the webhook";
        of_service.register("webhook_attempts", help, metrics.webhook_attempts.clone());
        let help = "Operations of one kind, of edges or of changes that wait for them, in a database batch";
        of_service.register("db_batch_size", help, metrics.batch_size.clone());
        let (name, help) = ("db_batch_duration", "Time that the database took for a batch");
        of_service.register_with_unit(name, help, Unit::Seconds, metrics.batch_seconds.clone());
        metrics
    }

    /// All metrics in the text format of OpenMetrics; with those of the database if its state is known.
    ///
    /// # Errors
    /// None in practice: writing to a `String` does not fail.
    pub(crate) fn encode(&self, state: Option<&State>) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        if let Some(state) = state {
            encode_registry(&mut text, &of_database(state))?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, route: Route, status: u16, took: Duration) {
        self.request_seconds.get_or_create(&route).observe(took.as_secs_f64());
        self.requests.get_or_create(&Answer { route, status }).inc();
    }

    /// Counts verdicts sent to an edge.
    pub(crate) fn count_verdicts(&self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            let kind = match verdict {
                Verdict::Active(_) => VerdictKind::Active,
                Verdict::Inactive => VerdictKind::Inactive,
            };
            self.verdicts.get_or_create(&OutcomeLabel::of(kind)).inc();
        }
    }

    /// Counts an answered sync.
    pub(crate) fn synced(&self, invalidation: &Invalidation) {
        let answer = match invalidation {
            Invalidation::Reset => SyncAnswer::Reset,
            Invalidation::Changed(changed) if changed.is_empty() => SyncAnswer::Unchanged,
            Invalidation::Changed(_) => SyncAnswer::Changes,
        };
        self.syncs.get_or_create(&OutcomeLabel::of(answer)).inc();
    }

    /// Counts a held sync until the guard is dropped.
    pub(crate) fn holding(&self) -> Holding<'_> {
        self.syncs_held.inc();
        Holding(&self.syncs_held)
    }

    /// A change was active on every edge after a time: so many edges acknowledged it, and the leases of the others ended.
    pub(crate) fn revoked(&self, after: Duration, acknowledged: usize, expired: usize) {
        self.revocation_seconds.observe(after.as_secs_f64());
        for (wait, edges) in [(EdgeWait::Acknowledged, acknowledged), (EdgeWait::Expired, expired)] {
            self.revocation_edges.get_or_create(&OutcomeLabel::of(wait)).inc_by(edges as u64);
        }
    }

    /// Counts a sign-in attempt.
    pub(crate) fn sign_in(&self, sign_in: SignIn) {
        self.sign_ins.get_or_create(&OutcomeLabel::of(sign_in)).inc();
    }

    /// Counts a failure of the database.
    pub(crate) fn database_failed(&self) {
        self.database_errors.inc();
    }

    /// Counts a batch of operations, successful or not.
    pub(crate) fn ran_batch(&self, operation: &'static str, size: usize, took: Duration) {
        // Exact: a batch has far fewer than 2^53 operations.
        self.batch_size.get_or_create(&Operation { operation }).observe(size as f64);
        self.batch_seconds.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }

    /// Counts a delivery attempt to the webhook.
    pub(crate) fn webhook_attempt(&self, attempt: WebhookAttempt) {
        self.webhook_attempts.get_or_create(&OutcomeLabel::of(attempt)).inc();
    }
}

/// The metrics that are read from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// How many changes were made that can alter a verdict.
    pub(crate) revision: i64,
    /// How many edges hold a lease, margins included.
    pub(crate) leases_held: i64,
    /// How many changes the last of them has not acknowledged.
    pub(crate) lag: i64,
    /// How many messages are still to be delivered to the webhook.
    pub(crate) webhooks_pending: i64,
}

/// The prefix of all names, except those that every process has.
const PREFIX: &str = "key_service";

/// A held sync.
#[derive(Debug)]
pub(crate) struct Holding<'m>(&'m Gauge);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn batch_sizes() -> Histogram {
    Histogram::new(BATCH_SIZES)
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Counters by the outcomes of a kind, which are exported from the start, at zero.
fn outcomes<T: VariantNames>() -> Family<OutcomeLabel, Counter> {
    let family = Family::<OutcomeLabel, Counter>::default();
    for outcome in T::VARIANTS {
        drop(family.get_or_create(&OutcomeLabel { outcome }));
    }
    family
}

/// A registry with the metrics of [`State`].
fn of_database(state: &State) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    for (name, help, value) in [
        ("revision", "Changes made that can alter a verdict", state.revision),
        ("leases_held", "Edges that hold a lease", state.leases_held),
        ("lease_lag_revisions", "How far the last of the edges that hold a lease is behind", state.lag),
        (
            "webhook_deliveries_pending",
            "Messages still to be delivered to the webhook",
            state.webhooks_pending,
        ),
    ] {
        registry.register(name, help, ConstGauge::new(value));
    }
    registry
}
