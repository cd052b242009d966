//! `key-service key`: create, list, update, delete, roll, leaked.

use super::arguments::{SCOPES_HELP, moment, resource_ids, scopes, within_catalogue};
use super::error::{CliError, ExitOutcome};
use super::revocation::{in_words, report, wait};
use super::terminal::{counted, print_json, print_line, print_message};
use crate::accounts::access::KeyAccess;
use crate::audit::Actor;
use crate::keys::rules::{Expiry, GraceSeconds};
use crate::keys::{self, KeyPatch};
use crate::revocation::Store;
use crate::settings::{ScopeCatalogue, operator};
use crate::time::Timestamp;
use crate::validation::FieldErrors;

mod create;
mod leaked;
mod list;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a key and print its value, which is shown only once
    Create(create::Args),
    /// Show keys, newest first, without their values
    List(list::Args),
    /// Change a key's label, scopes, restrictions or expiry, and wait until every edge has applied it
    Update(UpdateArgs),
    /// Delete a key, and wait until no edge accepts it
    #[command(visible_alias = "revoke")]
    Delete {
        /// The key's id, as `key list` shows it
        id: String,
        /// Print the revocation as JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a key a new value and print it once, and wait until every edge has applied it
    Roll {
        /// The key's id, as `key list` shows it
        id: String,
        /// The time for which the old value still works, in seconds; 0 ends every older value too
        #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
        grace_s: i64,
        /// Print the whole key as JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke leaked values, one per line of standard input; a key whose current value is among them is deleted
    Leaked(leaked::Args),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true), after_help = SCOPES_HELP)]
pub(super) struct UpdateArgs {
    /// The key's id, as `key list` shows it
    id: String,
    /// What the key is for, 1 to 40 characters
    #[arg(long, group = "change")]
    label: Option<String>,
    /// The new scopes, separated by commas
    #[arg(long, group = "change")]
    scopes: Option<String>,
    #[command(flatten)]
    catalogue: ScopeCatalogue,
    /// The ids of the only projects that the key may use, separated by commas
    #[arg(long, value_name = "IDS", group = "change", conflicts_with = "all_projects")]
    projects: Option<String>,
    /// Remove the restriction to projects
    #[arg(long, group = "change")]
    all_projects: bool,
    /// The ids of the only organizations that the key may use, separated by commas
    #[arg(long, value_name = "IDS", group = "change", conflicts_with = "all_organizations")]
    organizations: Option<String>,
    /// Remove the restriction to organizations
    #[arg(long, group = "change")]
    all_organizations: bool,
    /// The time from which the key is refused, such as 30d, 2030-01-31 or 2030-01-31T12:00:00Z
    #[arg(
        long,
        value_name = "TIME",
        value_parser = moment,
        group = "change",
        conflicts_with = "no_expiry"
    )]
    expires_at: Option<Timestamp>,
    /// Remove the expiry
    #[arg(long, group = "change")]
    no_expiry: bool,
    /// Print the whole key as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, database_url: &str) -> Result<ExitOutcome, CliError> {
    let by = operator();
    match command {
        Command::Create(args) => create::run(args, &by, database_url).await?,
        Command::List(args) => list::run(args, &Store::open_existing(database_url).await?).await?,
        Command::Update(args) => update(args, &by, database_url).await?,
        Command::Delete { id, json } => {
            let store = &Store::open_existing(database_url).await?;
            let (key, propagation) = keys::delete(store, &by, KeyAccess::Anyone, &id).await?;
            let done = format!("deleted {} ({})", key.label, key.mask_value);
            report(&done, &wait(propagation).await?, json)?;
        }
        Command::Roll { id, grace_s, json } => roll(&id, grace_s, json, &by, database_url).await?,
        Command::Leaked(args) => return leaked::run(args, &by, database_url).await,
    }
    Ok(ExitOutcome::Done)
}

async fn update(args: UpdateArgs, by: &Actor, database_url: &str) -> Result<(), CliError> {
    let catalogue = args.catalogue.read()?;
    let mut problems = FieldErrors::default();
    let label = problems.check("label", args.label.as_deref().map(str::parse).transpose());
    let scopes = problems.check("scopes", args.scopes.as_deref().map(scopes).transpose());
    let projects = problems.check("projects", args.projects.as_deref().map(resource_ids).transpose());
    let organizations = args.organizations.as_deref().map(resource_ids).transpose();
    let organizations = problems.check("organizations", organizations);
    let expires_at = args.expires_at.map(|moment| Expiry::new(moment, Timestamp::now())).transpose();
    let expires_at = problems.check("expires_at", expires_at);
    let (Some(label), Some(scopes), Some(projects), Some(organizations), Some(expires_at)) =
        (label, scopes, projects, organizations, expires_at)
    else {
        return Err(problems.into());
    };
    let store = &Store::open_existing(database_url).await?;
    let scopes = match scopes {
        Some(scopes) => {
            let held = keys::scopes(store, KeyAccess::Anyone, &args.id).await?;
            let scopes = within_catalogue(scopes, &catalogue, &held);
            Some(scopes.map_err(|violation| violation.of("scopes"))?)
        }
        None => None,
    };
    let patch = KeyPatch {
        label,
        scopes,
        projects: projects.or(args.all_projects.then_some(None)),
        organizations: organizations.or(args.all_organizations.then_some(None)),
        expires_at: match expires_at {
            Some(expiry) => Some(Some(expiry.into())),
            None => args.no_expiry.then_some(None),
        },
        expected: None,
    };
    let (key, propagation) = keys::update(store, by, KeyAccess::Anyone, &args.id, patch).await?;
    let revocation = match propagation {
        Some(propagation) => Some(wait(propagation).await?),
        None => None,
    };
    let propagated = revocation.as_ref().map(|revocation| format!("; {}", in_words(revocation)));
    print_message(&format!("updated {}{}", key.label, propagated.unwrap_or_default()))?;
    if args.json { print_json(&key.changed(None, revocation)) } else { Ok(()) }
}

async fn roll(id: &str, grace_s: i64, json: bool, by: &Actor, database_url: &str) -> Result<(), CliError> {
    let grace_s = GraceSeconds::try_from(grace_s).map_err(|violation| violation.of("grace_s"))?;
    let grace_s = u32::from(grace_s);
    let store = &Store::open_existing(database_url).await?;
    let (key, value, propagation) = keys::roll(store, by, KeyAccess::Anyone, id, grace_s).await?;
    // The old value no longer works, so print the new one even if the wait fails.
    if !json {
        print_line(value.reveal())?;
    }
    let revocation = wait(propagation).await;
    if json {
        print_json(&key.changed(Some(&value), revocation.as_ref().ok().copied()))?;
    }
    let done = format!("rolled {}; this is the only time its new value is shown", key.label);
    report(&done, &revocation?, false)?;
    if grace_s > 0 {
        print_message(&format!("the old value works for {} more", counted(grace_s.into(), "second")))?;
    }
    Ok(())
}
