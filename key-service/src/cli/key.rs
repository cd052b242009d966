//! `key-service key`: create, list, revoke, roll.

use std::collections::HashMap;

use protocol::ApiKey;

use super::CliError;
use super::revocation::report;
use super::terminal::{print_json, print_line, print_table, read_line, tell};
use crate::accounts::{self, User};
use crate::audit::Actor;
use crate::clock::Timestamp;
use crate::key_fields;
use crate::keys::{self, Key, KeyError, NewKey, Owner};
use crate::store::Database;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key and print its value, once, on a line of its own
    Create(CreateArgs),
    /// Show keys, newest first, without their values
    List {
        /// Only the keys of the user with this e-mail address
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a key, for good, and wait until no edge accepts it
    Revoke {
        /// The key's id, as `key list` shows it
        id: String,
        /// Print the revocation as JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a key a new value and print it, once; wait until no edge takes the old one for good
    Roll {
        /// The key's id, as `key list` shows it
        id: String,
        /// How long the old value works on, in seconds; 0 ends every older value too
        #[arg(long, value_name = "N", default_value_t = 0)]
        grace_s: i64,
        /// Print the whole key as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// The e-mail address of the user whose key it will be
    #[arg(long, value_name = "EMAIL")]
    user: String,
    /// What the key is for, 1 to 40 characters
    #[arg(long)]
    label: String,
    /// What the key may do: scopes separated by commas, such as insight:read,cohort:write
    #[arg(long)]
    scopes: String,
    /// Take over an existing key's value from standard input; it is not printed
    #[arg(long)]
    value_stdin: bool,
    /// Succeed and change nothing if the user has a key with this value (or had, and it was revoked) or, without
    /// --value-stdin, this label
    #[arg(long)]
    if_absent: bool,
    /// Print the whole key as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, database: &Database) -> Result<(), CliError> {
    let by = Actor::command_line();
    match command {
        Command::Create(args) => create(args, &by, database).await,
        Command::List { user, json } => list(user.as_deref(), json, database).await,
        Command::Revoke { id, json } => {
            let (key, settling) = keys::delete(database, &by, Owner::Anyone, &id).await?;
            let done = format!("revoked {} ({})", key.label, key.mask_value);
            report(&done, &settling.settled().await?, json)
        }
        Command::Roll { id, grace_s, json } => roll(&id, grace_s, json, &by, database).await,
    }
}

async fn roll(id: &str, grace_s: i64, json: bool, by: &Actor, database: &Database) -> Result<(), CliError> {
    let grace_s = key_fields::grace_s(grace_s)?;
    let (key, value, settling) = keys::roll(database, by, Owner::Anyone, id, grace_s).await?;
    let revocation = settling.settled().await?;
    let done = format!("rolled {}; this is the only time its new value is shown", key.label);
    report(&done, &revocation, false)?;
    if json {
        return print_json(&key.changed(Some(&value), Some(revocation)));
    }
    Ok(print_line(value.reveal())?)
}

/// The scopes of an argument, separated by commas or spaces.
pub(super) fn scope_texts(argument: &str) -> impl Iterator<Item = &str> {
    argument.split([',', ' ']).filter(|text| !text.is_empty())
}

async fn create(args: CreateArgs, by: &Actor, database: &Database) -> Result<(), CliError> {
    let new = NewKey {
        label: key_fields::label(&args.label)?,
        scopes: key_fields::scopes("scopes", scope_texts(&args.scopes))?,
        expires_at: None,
    };
    let user = accounts::find_by_email(database, &args.user).await?;
    let taken_over = if args.value_stdin {
        Some(ApiKey::parse(read_line()?.trim().as_bytes()).map_err(CliError::Value)?)
    } else {
        None
    };
    if args.if_absent {
        if let Some(key) = existing(database, &user, &new.label, taken_over.as_ref()).await? {
            tell(&format!("{} has the key {} already; nothing changed", user.email, key.label))?;
            return if args.json { print_json(&key.view(None)) } else { Ok(()) };
        }
        if let Some(value) = &taken_over
            && keys::is_revoked(database, value.digest()).await?
        {
            return Ok(tell("the value was revoked here; nothing changed")?);
        }
    }

    let now = Timestamp::now();
    if let Some(value) = taken_over {
        let (key, settling) = keys::take_over(database, by, &user.id, new, &value, now).await?;
        let done = format!("took over {} for {}", key.label, user.email);
        report(&done, &settling.settled().await?, false)?;
        return if args.json { print_json(&key.view(None)) } else { Ok(()) };
    }
    let (key, value) = keys::create(database, by, &user.id, new, now).await?;
    tell(&format!("created {} for {}; this is the only time its value is shown", key.label, user.email))?;
    if args.json {
        return print_json(&key.view(Some(&value)));
    }
    Ok(print_line(value.reveal())?)
}

/// The user's key that `--if-absent` would not make again.
async fn existing(
    database: &Database,
    user: &User,
    label: &str,
    value: Option<&ApiKey>,
) -> Result<Option<Key>, KeyError> {
    match value {
        Some(value) => match keys::find_by_digest(database, value.digest()).await? {
            Some(key) if key.user_id != user.id => Err(KeyError::ValueTaken),
            key => Ok(key),
        },
        None => Ok(keys::list(database, &user.id).await?.into_iter().find(|key| key.label == label)),
    }
}

async fn list(email: Option<&str>, json: bool, database: &Database) -> Result<(), CliError> {
    let keys = match email {
        Some(email) => keys::list(database, &accounts::find_by_email(database, email).await?.id).await?,
        None => keys::list_all(database).await?,
    };
    if json {
        return print_json(&keys.iter().map(|key| key.view(None)).collect::<Vec<_>>());
    }
    let users = accounts::list(database).await?;
    let emails: HashMap<_, _> = users.into_iter().map(|user| (user.id, user.email)).collect();
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let rows: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let email = emails.get(&key.user_id).cloned().unwrap_or_default();
            let scopes = key.scopes.to_string();
            [
                key.id,
                email,
                key.label,
                key.mask_value,
                scopes,
                time(Some(key.created_at)),
                time(key.last_used_at),
                time(key.expires_at),
            ]
        })
        .collect();
    Ok(print_table(["ID", "USER", "LABEL", "VALUE", "SCOPES", "CREATED", "LAST USED", "EXPIRES"], &rows)?)
}
