//! `key-service serve`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use leases::Terms;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use super::terminal::print_line;
use crate::accounts::links;
use crate::audit::Actor;
use crate::revocation::Store;
use crate::server::{Listen, Server, Settings};
use crate::web::client_address::TrustedProxies;
use crate::web::edge_tokens::{EdgeTokens, PREVIOUS_TOKEN_VARIABLE, TOKEN_VARIABLE};
use crate::web::public_url::PublicUrl;
use crate::webhooks::{Endpoint, SECRET_VARIABLE, URL_VARIABLE};

/// What is logged unless `RUST_LOG` says otherwise. The session library warns of every expired cookie.
const DEFAULT_LOG: &str = "info,sqlx::postgres::notice=warn,tower_sessions=error,tower_sessions_core=error";

#[derive(Debug, clap::Args)]
#[command(after_help = "Environment only:
  EDGE_TOKEN           the token that edges authenticate with, 16 characters or more (required)
  EDGE_TOKEN_PREVIOUS  a second token that is accepted while edges change over
  LEAK_WEBHOOK_URL     where to report leaked keys; goes with the next
  LEAK_WEBHOOK_SECRET  what those reports are signed with: whsec_ and the Base64 of 24 to 64 random bytes
  RUST_LOG             what to log, such as info or debug")]
pub(super) struct Args {
    /// Where the public API listens
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Where the edge API listens; keep it away from the public
    #[arg(long, env = "EDGE_LISTEN", default_value = "127.0.0.1:8081")]
    edge_listen: SocketAddr,

    /// The address under which browsers reach the public API, such as https://keys.example.com
    #[arg(long, env = "PUBLIC_URL")]
    public_url: Option<PublicUrl>,

    /// The address of the API that the keys are for, such as https://api.example.com; the page shows it
    #[arg(long, env = "API_URL")]
    api_url: Option<PublicUrl>,

    /// The proxies whose X-Forwarded-For is believed: addresses and networks, separated by commas
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    trusted_proxies: TrustedProxies,

    /// How many keys and users one user or management token may create or change, at once and then a minute
    #[arg(long, env = "CHANGES_PER_MINUTE", default_value = "60")]
    changes_per_minute: NonZeroU32,

    /// How long requests are still taken after the signal to end, while /readyz says no already, in milliseconds
    #[arg(long, env = "SHUTDOWN_DELAY_MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    shutdown_delay_ms: u64,

    /// How many days the audit log reaches back; 0 keeps it for good
    #[arg(long, env = "AUDIT_RETENTION_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(..=36_500))]
    audit_retention_days: u32,

    /// How long an edge's sync is held back while there is no news, in milliseconds
    #[arg(long, env = "HOLD_MS", default_value_t = 2_000, value_parser = up_to_an_hour())]
    hold_ms: u64,

    /// How long an edge may answer from its memory without having synced, in milliseconds
    #[arg(long, env = "LEASE_MS", default_value_t = 6_000, value_parser = up_to_an_hour())]
    lease_ms: u64,

    /// How much longer than a lease a revocation waits for an edge that is cut off, in milliseconds [default: 1000, or a
    /// sixth of the lease if that is longer; less is refused]
    #[arg(long, env = "LEASE_MARGIN_MS", value_parser = up_to_an_hour())]
    lease_margin_ms: Option<u64>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn up_to_an_hour() -> impl clap::builder::TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=3_600_000)
}

pub(super) async fn run(args: Args, database_url: &str) -> Result<(), CliError> {
    start_log()?;

    let Args { hold_ms, lease_ms, lease_margin_ms, .. } = args;
    let margin_ms = lease_margin_ms.unwrap_or_else(|| Terms::least_margin_ms(lease_ms));
    let terms = Terms { hold_ms, lease_ms, margin_ms }.check()?;
    let secret = |variable| std::env::var(variable).ok();
    let settings = Settings {
        tokens: EdgeTokens::new(
            secret(TOKEN_VARIABLE).as_deref(),
            secret(PREVIOUS_TOKEN_VARIABLE).as_deref(),
        )?,
        terms,
        public_url: args.public_url,
        api_url: args.api_url,
        trusted_proxies: args.trusted_proxies,
        changes_per_minute: args.changes_per_minute,
        audit_kept: (args.audit_retention_days > 0).then(|| DAY.saturating_mul(args.audit_retention_days)),
        shutdown_delay: Duration::from_millis(args.shutdown_delay_ms),
        webhook: Endpoint::new(secret(URL_VARIABLE).as_deref(), secret(SECRET_VARIABLE).as_deref())?,
    };
    let server = Server::bind(
        Listen { setting: "--listen (LISTEN)", address: args.listen },
        Listen { setting: "--edge-listen (EDGE_LISTEN)", address: args.edge_listen },
    )
    .await?;
    let store = Store::open(database_url).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told_to_end = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };

    if let Some(link) = links::create_first(&store, &Actor::service()).await? {
        let base =
            settings.public_url.as_ref().map_or_else(|| server.public_base(), |url| Ok(url.to_string()))?;
        print_line(&format!(
            "There is no user yet. The first admin begins here, once, within {} minutes; `key-service user first-link` \
             makes another link:\n\n  {base}{}\n",
            links::FIRST_LIFETIME_S / 60,
            link.path()
        ))?;
    }
    Ok(server.run(store, settings, told_to_end).await?)
}

/// Logs JSON lines to standard error.
fn start_log() -> Result<(), CliError> {
    let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::try_new(filter.as_deref().unwrap_or(DEFAULT_LOG))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        // Where a line cannot be written, neither can the news of that; and trying to would end the task.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
    Ok(())
}
