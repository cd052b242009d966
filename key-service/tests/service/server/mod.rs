//! The process: its start and end, its connections, and its logs and metrics.

mod connections;
mod first_link;
mod metrics;
mod proxies;
pub(crate) mod readiness;
mod request_log;
mod shutdown;
pub(crate) mod startup;
mod webhooks;
