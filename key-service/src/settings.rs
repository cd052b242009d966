//! The settings of the service: flags and environment variables. They are checked together, so that one run reports every
//! problem. Nothing else in this crate reads the environment.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use leases::{LeaseConfig, LeaseConfigError};
use tracing_subscriber::EnvFilter;

use crate::accounts::openid::Providers;
use crate::accounts::openid::settings as openid;
use crate::audit::Actor;
use crate::catalogue::{Catalogue, InvalidCatalogue};
use crate::db;
use crate::web::client_address::TrustedProxies;
use crate::web::edge_tokens::{EdgeTokens, PREVIOUS_TOKEN_VARIABLE, TOKEN_VARIABLE};
use crate::web::public_url::PublicUrl;
use crate::webhooks::{Endpoint, SECRET_VARIABLE, URL_VARIABLE};

/// The log filter without `RUST_LOG`. It silences the session library, which warns of every expired cookie.
const DEFAULT_LOG: &str = "info,sqlx::postgres::notice=warn,tower_sessions=error,tower_sessions_core=error";

/// The environment variable of the log's filter.
const LOG_VARIABLE: &str = "RUST_LOG";

/// The names of the setting for the file of OpenID providers.
const OPENID_PROVIDERS: &str = "--openid-providers (OPENID_PROVIDERS)";

/// The names of the setting that allows passwords.
const LOCAL_PASSWORDS: &str = "--local-passwords (LOCAL_PASSWORDS)";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest time that a setting in milliseconds can be.
const HOUR_MS: u64 = 3_600_000;

/// The flags of `serve`. A value that cannot be used is kept too: [`Settings::new`] reports all of those together.
#[derive(Debug, clap::Args)]
#[command(after_help = "Environment only:
  EDGE_TOKEN           the token that edges authenticate with, 16 characters or more (required)
  EDGE_TOKEN_PREVIOUS  a second token that is accepted while edges switch to the new one
  LEAK_WEBHOOK_URL     the URL that gets reports of leaked keys; needs LEAK_WEBHOOK_SECRET
  LEAK_WEBHOOK_SECRET  the secret that signs those reports: whsec_ and the Base64 of 24 to 64 random bytes
  RUST_LOG             what to log, such as info or debug")]
pub struct Flags {
    /// The address of the public listener: API and page
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080")]
    listen: Given<SocketAddr>,

    /// The address of the edge listener: edge API, health and metrics; do not expose it to the public
    #[arg(long, env = "EDGE_LISTEN", default_value = "127.0.0.1:8081")]
    edge_listen: Given<SocketAddr>,

    /// The service's address in browsers, such as https://keys.example.com
    #[arg(long, env = "PUBLIC_URL")]
    public_url: Option<Given<PublicUrl>>,

    /// The address of the API that the keys are for, such as https://api.example.com; the page shows it
    #[arg(long, env = "API_URL")]
    api_url: Option<Given<PublicUrl>>,

    /// The proxies whose X-Forwarded-For is trusted: addresses and networks, separated by commas
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    trusted_proxies: Given<TrustedProxies>,

    #[command(flatten)]
    scope_catalogue: ScopeCatalogue,

    /// How many keys and users one user or management token may create or change per minute
    #[arg(long, env = "CHANGES_PER_MINUTE", default_value = "60")]
    changes_per_minute: Given<NonZeroU32>,

    /// Whether anyone who holds a leaked value can end it without signing in: true or false
    #[arg(long, env = "PUBLIC_LEAK_REPORTS", default_value = "true")]
    public_leak_reports: Given<bool>,

    /// The JSON file of the OpenID providers that users can sign in with; needs PUBLIC_URL
    #[arg(long, env = "OPENID_PROVIDERS", value_name = "FILE")]
    openid_providers: Option<PathBuf>,

    /// Whether users can sign in with passwords: true or false; false needs OPENID_PROVIDERS
    #[arg(long, env = "LOCAL_PASSWORDS", default_value = "true")]
    local_passwords: Given<bool>,

    /// How long the service still accepts requests after SIGTERM or SIGINT, in milliseconds; meanwhile /readyz answers 503
    #[arg(long, env = "SHUTDOWN_DELAY_MS", default_value = "0")]
    shutdown_delay_ms: Given<u64>,

    /// After how many days entries of the audit log are removed; 0 keeps all entries
    #[arg(long, env = "AUDIT_RETENTION_DAYS", default_value = "365")]
    audit_retention_days: Given<u32>,

    /// How long the service holds an edge's sync while nothing changes, in milliseconds
    #[arg(long, env = "HOLD_MS", default_value = "2000")]
    hold_ms: Given<u64>,

    /// How long an edge may answer from its cache after it sent a sync, in milliseconds; at least twice the hold plus 2000
    #[arg(long, env = "LEASE_MS", default_value = "6000")]
    lease_ms: Given<u64>,

    /// How much longer than a lease a change waits for an edge that is cut off, in milliseconds [default: 1000, or a sixth of
    /// the lease if that is longer; less is refused]
    #[arg(long, env = "LEASE_MARGIN_MS")]
    lease_margin_ms: Option<Given<u64>>,
}

/// The flag of the commands that take scopes.
#[derive(Debug, clap::Args)]
pub(crate) struct ScopeCatalogue {
    /// The JSON file of the objects that scopes can name [default: those of PostHog]
    #[arg(long, env = "SCOPE_CATALOGUE", value_name = "FILE")]
    scope_catalogue: Option<PathBuf>,
}

impl ScopeCatalogue {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it, a line for each problem.
    pub(crate) fn read(&self) -> Result<Catalogue, InvalidSettings> {
        let Some(path) = &self.scope_catalogue else {
            return Catalogue::posthog().map_err(|InvalidCatalogue(problems)| InvalidSettings(problems));
        };
        Catalogue::read(path).map_err(|InvalidCatalogue(problems)| {
            let named =
                |problem| format!("--scope-catalogue (SCOPE_CATALOGUE): {}: {problem}", path.display());
            InvalidSettings(problems.into_iter().map(named).collect())
        })
    }
}

/// The value of a flag or its variable, or why it cannot be used.
#[derive(Clone, Debug)]
struct Given<T>(Result<T, String>);

impl<T: FromStr<Err: Display>> FromStr for Given<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Given(text.parse().map_err(|error| format!("{text:?}: {error}"))))
    }
}

impl<T: PartialOrd + Display> Given<T> {
    /// The number, if it is one of a range.
    fn within(self, range: RangeInclusive<T>) -> Result<T, String> {
        let number = self.0?;
        if range.contains(&number) {
            return Ok(number);
        }
        Err(format!("{number} is not between {} and {}", range.start(), range.end()))
    }
}

/// An address that the service listens on, and the names of its setting.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// The flag and the environment variable, for messages.
    pub(crate) setting: &'static str,
    /// The address.
    pub(crate) address: SocketAddr,
}

/// How the service runs.
#[derive(Debug)]
pub struct Settings {
    /// The address of the public listener.
    pub(crate) public: Listen,
    /// The address of the edge listener.
    pub(crate) edge: Listen,
    /// The lengths of lease, hold and margin.
    pub(crate) lease_config: LeaseConfig,
    /// The tokens that edges authenticate with.
    pub(crate) tokens: EdgeTokens,
    /// The objects that scopes can name.
    pub(crate) catalogue: Arc<Catalogue>,
    /// The address under which browsers reach the public listener.
    pub(crate) public_url: Option<PublicUrl>,
    /// The address of the API that the keys are for, as the page shows it.
    pub(crate) api_url: Option<PublicUrl>,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub(crate) trusted_proxies: TrustedProxies,
    /// How many changes one user or management token may make at once, and as many again each minute.
    pub(crate) changes_per_minute: NonZeroU32,
    /// Whether anyone who holds a leaked value can end it.
    pub(crate) public_leak_reports: bool,
    /// Whether users can sign in with passwords.
    pub(crate) local_passwords: bool,
    /// The OpenID providers that users can sign in with.
    pub(crate) providers: Arc<Providers>,
    /// How long the audit log keeps entries; `None` keeps them permanently.
    pub(crate) audit_kept: Option<Duration>,
    /// How long the service still accepts requests after SIGTERM or SIGINT, so that load balancers can notice.
    pub(crate) shutdown_delay: Duration,
    /// The operator's webhook.
    pub(crate) webhook: Option<Endpoint>,
    /// The log filter.
    pub(crate) log_filter: EnvFilter,
}

/// Settings that cannot be used: a line for each, which names the flag or the variable.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct InvalidSettings(Vec<String>);

impl InvalidSettings {
    /// Keeps a value that can be used, and notes a problem under the name of its setting.
    fn take<T>(&mut self, setting: &str, value: Result<T, impl Display>) -> Option<T> {
        value.map_err(|problem| self.0.push(format!("{setting}: {problem}"))).ok()
    }

    /// Like [`InvalidSettings::take`], for errors that already name their setting.
    fn take_named<T, E: Display>(&mut self, value: Result<T, impl IntoIterator<Item = E>>) -> Option<T> {
        value.map_err(|problems| self.0.extend(problems.into_iter().map(|problem| problem.to_string()))).ok()
    }
}

impl Settings {
    /// Reads and checks everything that can be checked without opening a database or an address. `variable` is the
    /// environment.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn new(
        flags: Flags,
        database_url: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSettings> {
        let mut wrong = InvalidSettings(Vec::new());
        wrong.take_named(db::open::check_url(database_url).map_err(Some));
        let listen = |setting| move |address| Listen { setting, address };
        let (setting, edge_setting) = ("--listen (LISTEN)", "--edge-listen (EDGE_LISTEN)");
        let public = wrong.take(setting, flags.listen.0).map(listen(setting));
        let edge = wrong.take(edge_setting, flags.edge_listen.0).map(listen(edge_setting));
        let url = |url: Option<Given<PublicUrl>>| url.map(|url| url.0).transpose();
        let public_url = wrong.take("--public-url (PUBLIC_URL)", url(flags.public_url));
        let api_url = wrong.take("--api-url (API_URL)", url(flags.api_url));
        let trusted_proxies = wrong.take("--trusted-proxies (TRUSTED_PROXIES)", flags.trusted_proxies.0);
        let catalogue = wrong.take_named(flags.scope_catalogue.read().map_err(|invalid| invalid.0));
        let changes_per_minute =
            wrong.take("--changes-per-minute (CHANGES_PER_MINUTE)", flags.changes_per_minute.0);
        let public_leak_reports =
            wrong.take("--public-leak-reports (PUBLIC_LEAK_REPORTS)", flags.public_leak_reports.0);
        let has_public_url = !matches!(public_url, Some(None));
        let providers = flags.openid_providers.as_deref();
        let providers = providers_of(&mut wrong, providers, has_public_url, catalogue.as_ref(), &variable);
        let local_passwords = wrong.take(
            LOCAL_PASSWORDS,
            flags.local_passwords.0.and_then(|has_passwords| {
                let has_none = providers.as_ref().is_some_and(Providers::is_empty);
                match has_passwords || !has_none {
                    true => Ok(has_passwords),
                    false => Err(format!("nobody could sign in; set {OPENID_PROVIDERS} too")),
                }
            }),
        );
        let shutdown_delay_ms = wrong
            .take("--shutdown-delay-ms (SHUTDOWN_DELAY_MS)", flags.shutdown_delay_ms.within(0..=HOUR_MS));
        let audit_days = wrong.take(
            "--audit-retention-days (AUDIT_RETENTION_DAYS)",
            flags.audit_retention_days.within(0..=36_500),
        );
        let lease_config = lease_config(&mut wrong, flags.hold_ms, flags.lease_ms, flags.lease_margin_ms);
        let tokens = wrong.take_named(EdgeTokens::new(
            variable(TOKEN_VARIABLE).as_deref(),
            variable(PREVIOUS_TOKEN_VARIABLE).as_deref(),
        ));
        let webhook = wrong.take_named(Endpoint::new(
            variable(URL_VARIABLE).as_deref(),
            variable(SECRET_VARIABLE).as_deref(),
        ));
        let log = variable(LOG_VARIABLE).filter(|filter| !filter.is_empty());
        let log_filter = wrong.take(LOG_VARIABLE, EnvFilter::try_new(log.as_deref().unwrap_or(DEFAULT_LOG)));

        let settings = move || {
            Some(Settings {
                public: public?,
                edge: edge?,
                lease_config: lease_config?,
                tokens: tokens?,
                catalogue: Arc::new(catalogue?),
                public_url: public_url?,
                api_url: api_url?,
                trusted_proxies: trusted_proxies?,
                changes_per_minute: changes_per_minute?,
                public_leak_reports: public_leak_reports?,
                local_passwords: local_passwords?,
                providers: Arc::new(providers?),
                audit_kept: Some(audit_days?).filter(|&days| days > 0).map(|days| DAY.saturating_mul(days)),
                shutdown_delay: Duration::from_millis(shutdown_delay_ms?),
                webhook: webhook?,
                log_filter: log_filter?,
            })
        };
        match settings() {
            Some(settings) if wrong.0.is_empty() => Ok(settings),
            _ => Err(wrong),
        }
    }
}

/// Reads the file of the OpenID providers.
fn providers_of(
    wrong: &mut InvalidSettings,
    path: Option<&Path>,
    has_public_url: bool,
    catalogue: Option<&Catalogue>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Providers> {
    let Some(path) = path else { return Some(Providers::default()) };
    if !has_public_url {
        let problem = "needs --public-url (PUBLIC_URL), because providers send browsers back to it";
        wrong.take::<()>(OPENID_PROVIDERS, Err(problem));
    }
    let named = |problem| format!("{OPENID_PROVIDERS}: {}: {problem}", path.display());
    let read = openid::read(path, catalogue, variable);
    let settings = wrong.take_named(read.map_err(|invalid| invalid.0.into_iter().map(named)))?;
    wrong.take(OPENID_PROVIDERS, Providers::new(settings))
}

/// Reads the lease settings. Rules that need several of them are checked only if each one is valid.
fn lease_config(
    wrong: &mut InvalidSettings,
    hold_ms: Given<u64>,
    lease_ms: Given<u64>,
    margin_ms: Option<Given<u64>>,
) -> Option<LeaseConfig> {
    const LEASE: &str = "--lease-ms (LEASE_MS)";
    const MARGIN: &str = "--lease-margin-ms (LEASE_MARGIN_MS)";
    let hold_ms = wrong.take("--hold-ms (HOLD_MS)", hold_ms.within(1..=HOUR_MS));
    let lease_ms = wrong.take(LEASE, lease_ms.within(1..=HOUR_MS));
    let margin_ms = wrong.take(MARGIN, margin_ms.map(|margin_ms| margin_ms.within(1..=HOUR_MS)).transpose());
    let (hold_ms, lease_ms, margin_ms) = (hold_ms?, lease_ms?, margin_ms?);
    let margin_ms = margin_ms.unwrap_or_else(|| LeaseConfig::least_margin_ms(lease_ms));
    let checked = LeaseConfig { hold_ms, lease_ms, margin_ms }.check();
    let setting = match checked {
        Err(LeaseConfigError::MarginTooShort { .. }) => MARGIN,
        _ => LEASE,
    };
    wrong.take(setting, checked)
}

/// The value of an environment variable, if it is set to a text.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The operator at the command line, by the name of the system account.
pub(crate) fn operator() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(variable);
    Actor::command_line(name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    const URL: &str = "sqlite:keys.db";

    /// The settings of some flags, with an edge token and the `variables` in the environment.
    fn settings(flags: &[&str], url: &str, variables: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
        let command = Flags::augment_args(clap::Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from(flags).unwrap();
        let variables = [&[(TOKEN_VARIABLE, "the-edge-token-of-tests")], variables].concat();
        let variable = |name: &str| {
            let found = variables.iter().rev().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::new(Flags::from_arg_matches(&matches).unwrap(), url, variable)
    }

    #[test]
    fn only_the_edge_token_is_required() {
        let settings = settings(&[], URL, &[]).unwrap();
        assert_eq!(settings.public.address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(settings.lease_config, LeaseConfig::default());
        assert_eq!(settings.audit_kept, Some(365 * DAY));
        assert!(settings.public_url.is_none() && settings.webhook.is_none());
    }

    #[test]
    fn every_setting_that_cannot_be_used_is_reported_at_once() {
        let flags = [
            "--listen=8080",
            "--edge-listen=nowhere",
            "--public-url=keys.example.com",
            "--api-url=ftp://api.example.com",
            "--trusted-proxies=10.0.0.0/8,proxy",
            "--scope-catalogue=/nowhere/scopes.json",
            "--changes-per-minute=0",
            "--public-leak-reports=off",
            "--openid-providers=/nowhere/providers.json",
            "--local-passwords=off",
            "--shutdown-delay-ms=3600001",
            "--audit-retention-days=-1",
            "--hold-ms=0",
            "--lease-ms=long",
            "--lease-margin-ms=0",
        ];
        let variables = [
            (TOKEN_VARIABLE, ""),
            (PREVIOUS_TOKEN_VARIABLE, "short"),
            (URL_VARIABLE, "hooks.example.com"),
            (SECRET_VARIABLE, "no secret"),
            (LOG_VARIABLE, "key_service=loud"),
        ];
        let said = settings(&flags, "mysql://localhost", &variables).unwrap_err().to_string();
        let lines: Vec<_> = said.lines().collect();
        let flags = flags.map(|flag| flag.split_once('=').unwrap().0);
        let named = ["--database-url"].into_iter().chain(flags).chain(variables.map(|(name, _)| name));
        for (line, name) in lines.iter().zip(named.clone()) {
            assert!(line.starts_with(name), "the line does not begin with {name}: {line}");
        }
        assert_eq!(lines.len(), named.count(), "{said}");
    }

    #[test]
    fn passwords_cannot_be_turned_off_without_a_provider_nor_providers_used_without_an_address() {
        let said = |flags: &[&str]| settings(flags, URL, &[]).unwrap_err().to_string();
        let nobody = said(&["--local-passwords=false"]);
        assert!(nobody.starts_with(LOCAL_PASSWORDS) && nobody.contains(OPENID_PROVIDERS), "{nobody}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[]").unwrap();
        let file = format!("--openid-providers={}", file.path().display());
        let nowhere = said(&[&file]);
        assert!(nowhere.starts_with(OPENID_PROVIDERS) && nowhere.contains("PUBLIC_URL"), "{nowhere}");
    }

    #[test]
    fn an_invalid_lease_or_margin_names_its_setting() {
        let said = |flags: &[&str]| settings(flags, URL, &[]).unwrap_err().to_string();
        let lease = said(&["--hold-ms=2000", "--lease-ms=5999"]);
        assert!(lease.starts_with("--lease-ms (LEASE_MS): ") && lease.contains("6000"), "{lease}");
        let margin = said(&["--lease-margin-ms=999"]);
        assert!(margin.starts_with("--lease-margin-ms (LEASE_MARGIN_MS): "), "{margin}");
    }
}
