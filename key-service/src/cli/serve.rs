//! `key-service serve`.

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use super::terminal::print_line;
use crate::accounts::{self, links};
use crate::audit::Actor;
use crate::revocation::Store;
use crate::server::Server;
use crate::settings::{Flags, Settings, variable};

pub(super) async fn run(flags: Flags, database_url: &str) -> Result<(), CliError> {
    let mut settings = Settings::new(flags, database_url, variable)?;
    start_log(std::mem::take(&mut settings.log_filter));
    let server = Server::bind(&settings).await?;
    let store = Store::open(database_url).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown_signal = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };

    // With users, an operator asks for the link: each start would write the secret to the log.
    if settings.local_passwords
        && !accounts::is_any(&store).await?
        && let Some(link) = links::create_first(&store, &Actor::service()).await?
    {
        let base =
            settings.public_url.as_ref().map_or_else(|| server.public_base(), |url| Ok(url.to_string()))?;
        print_line(&format!(
            "No user exists yet. Open this link to create the first admin. It works once and expires in {} minutes; \
             `key-service user first-link` prints a new one:\n\n  {base}{}\n",
            links::FIRST_LIFETIME_S / 60,
            link.path()
        ))?;
    }
    Ok(server.run(store, settings, shutdown_signal).await?)
}

/// Logs JSON lines to standard error.
fn start_log(filter: EnvFilter) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        // If a line cannot be written, neither can an error about it; trying would end the task.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}
