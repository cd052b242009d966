//! `key-service key create`.

use protocol::{ApiKey, Restrictions, ScopeSet};

use crate::accounts::access::KeyAccess;
use crate::accounts::{self, User, normal_address};
use crate::audit::Actor;
use crate::cli::arguments::{SCOPES_HELP, moment, resource_ids, scopes, within_catalogue};
use crate::cli::error::CliError;
use crate::cli::revocation::{report, wait};
use crate::cli::terminal::{print_json, print_line, print_message, read_line};
use crate::keys::excess::Asked;
use crate::keys::rules::Expiry;
use crate::keys::{self, Key, KeyError, NewKey};
use crate::revocation::Store;
use crate::settings::ScopeCatalogue;
use crate::time::Timestamp;
use crate::validation::FieldErrors;

#[derive(Debug, clap::Args)]
#[command(after_help = SCOPES_HELP)]
pub(in crate::cli) struct Args {
    /// The email address of the key's owner, or service:NAME
    #[arg(long, value_name = "EMAIL")]
    user: String,
    /// What the key is for, 1 to 40 characters
    #[arg(long)]
    label: String,
    /// The scopes of the key, separated by commas, such as insight:read,cohort:write
    #[arg(long)]
    scopes: String,
    #[command(flatten)]
    catalogue: ScopeCatalogue,
    /// The ids of the only projects that the key may use, separated by commas; by default all
    #[arg(long, value_name = "IDS")]
    projects: Option<String>,
    /// The ids of the only organizations that the key may use, separated by commas; by default all
    #[arg(long, value_name = "IDS")]
    organizations: Option<String>,
    /// The time from which the key is refused, such as 30d, 2030-01-31 or 2030-01-31T12:00:00Z; by default never
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<Timestamp>,
    /// Adopt an existing key's value, read from standard input; it is not printed
    #[arg(long)]
    value_stdin: bool,
    /// If the user already has a key with this label, succeed and change nothing; fail if that key allows more.
    /// With --value-stdin, do so if the user already has a key with this value, or if the value was revoked
    #[arg(long)]
    if_absent: bool,
    /// Print the whole key as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, by: &Actor, database_url: &str) -> Result<(), CliError> {
    let now = Timestamp::now();
    let catalogue = args.catalogue.read()?;
    let mut problems = FieldErrors::default();
    let email = problems.check("email", normal_address(&args.user));
    let label = problems.check("label", args.label.parse());
    let scopes =
        scopes(&args.scopes).and_then(|scopes| within_catalogue(scopes, &catalogue, &ScopeSet::default()));
    let scopes = problems.check("scopes", scopes);
    let projects = problems.check("projects", args.projects.as_deref().map(resource_ids).transpose());
    let organizations = args.organizations.as_deref().map(resource_ids).transpose();
    let organizations = problems.check("organizations", organizations);
    let expires_at = args.expires_at.map(|moment| Expiry::new(moment, now)).transpose();
    let expires_at = problems.check("expires_at", expires_at);
    let (Some(email), Some(label), Some(scopes), Some(projects), Some(organizations), Some(expires_at)) =
        (email, label, scopes, projects, organizations, expires_at)
    else {
        return Err(problems.into());
    };
    let restrictions = Restrictions { projects: projects.flatten(), organizations: organizations.flatten() };
    let new = NewKey { label, scopes, restrictions, expires_at: expires_at.map(Into::into) };
    let adopted = if args.value_stdin {
        Some(ApiKey::parse(read_line()?.trim().as_bytes()).map_err(CliError::Value)?)
    } else {
        None
    };
    let store = &Store::open_existing(database_url).await?;
    let user = accounts::find_by_email(store, &email).await?;
    if args.if_absent {
        if let Some(key) = existing(store, &user, new.label.as_ref(), adopted.as_ref()).await? {
            let Key { label, .. } = &key;
            if let Some(excess) = key.beyond(&asked(&new), now) {
                return Err(CliError::WiderKey { email: user.email, label: label.clone(), excess });
            }
            print_message(&format!("{} has the key {label} already; nothing changed", user.email))?;
            return if args.json { print_json(&key.view(None)) } else { Ok(()) };
        }
        if let Some(value) = &adopted
            && keys::is_revoked(store, value.digest()).await?
        {
            return Ok(print_message("this value was revoked; nothing changed")?);
        }
    }

    if let Some(value) = adopted {
        let (key, propagation) = keys::adopt_value(store, by, &user.id, new, &value, now).await?;
        let done = format!("adopted {} for {}", key.label, user.email);
        report(&done, &wait(propagation).await?, false)?;
        return if args.json { print_json(&key.view(None)) } else { Ok(()) };
    }
    let (key, value) = keys::create(store, by, KeyAccess::Anyone, &user.id, new, now).await?;
    print_message(&format!(
        "created {} for {}; this is the only time its value is shown",
        key.label, user.email
    ))?;
    if args.json {
        return print_json(&key.view(Some(&value)));
    }
    Ok(print_line(value.reveal())?)
}

fn asked(new: &NewKey) -> Asked<'_> {
    Asked { scopes: &new.scopes, restrictions: &new.restrictions, expires_at: new.expires_at }
}

/// The existing key for which `--if-absent` changes nothing.
async fn existing(
    store: &Store,
    user: &User,
    label: &str,
    value: Option<&ApiKey>,
) -> Result<Option<Key>, KeyError> {
    match value {
        Some(value) => match keys::find_by_digest(store, value.digest()).await? {
            Some(key) if key.user_id != user.id => Err(KeyError::ValueTaken),
            key => Ok(key),
        },
        None => Ok(keys::list(store, KeyAccess::Anyone, &user.id)
            .await?
            .into_iter()
            .find(|key| key.label == label)),
    }
}
