//! `key-service token`: create, list, revoke.

use clap::builder::PossibleValuesParser;

use super::arguments::moment;
use super::error::CliError;
use super::terminal::{print_json, print_line, print_message, print_table, time};
use crate::accounts::management_tokens::{self, NewToken, Verb, Verbs};
use crate::accounts::{self, normal_address};
use crate::audit::Actor;
use crate::keys::rules::Expiry;
use crate::revocation::Store;
use crate::settings::operator;
use crate::time::Timestamp;
use crate::validation::FieldErrors;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a management token and print its value, which is shown only once
    Create(CreateArgs),
    /// Show management tokens, newest first, without their values
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a management token at once
    Revoke {
        /// The token's id, as `token list` shows it
        id: String,
        /// Print the revoked token as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// What the token is for, 1 to 40 characters
    #[arg(long)]
    label: String,
    /// Limit it to the keys of the user with this email address, or of service:NAME; may be repeated
    #[arg(long = "user", value_name = "EMAIL")]
    users: Vec<String>,
    /// What the token can do: read (list and show), revoke (delete keys, disable and delete users, report leaks) and create (add, roll
    /// and change), separated by commas
    #[arg(
        long,
        value_name = "VERBS",
        value_delimiter = ',',
        default_value = Verb::Read.as_str(),
        value_parser = PossibleValuesParser::new(Verb::names())
    )]
    can: Vec<String>,
    /// The time from which the token is refused, such as 30d, 2030-01-31 or 2030-01-31T12:00:00Z; by default never
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<Timestamp>,
    /// Print the whole token as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, database_url: &str) -> Result<(), CliError> {
    let by = operator();
    match command {
        Command::Create(args) => create(args, &by, database_url).await,
        Command::List { json } => list(json, &Store::open_existing(database_url).await?).await,
        Command::Revoke { id, json } => {
            let store = &Store::open_existing(database_url).await?;
            let token = management_tokens::revoke(store, &by, &id).await?;
            print_message(&format!("revoked {} ({}); it no longer works", token.label, token.mask_value))?;
            if json { print_json(&token) } else { Ok(()) }
        }
    }
}

async fn create(args: CreateArgs, by: &Actor, database_url: &str) -> Result<(), CliError> {
    let now = Timestamp::now();
    let mut problems = FieldErrors::default();
    let label = problems.check("label", args.label.parse());
    let emails: Vec<_> =
        args.users.iter().filter_map(|email| problems.check("email", normal_address(email))).collect();
    let can = problems.check("can", Verbs::parse(args.can.iter().map(String::as_str)));
    let expires_at = args.expires_at.map(|moment| Expiry::new(moment, now)).transpose();
    let expires_at = problems.check("expires_at", expires_at);
    let (Some(label), Some(can), Some(expires_at), true) = (label, can, expires_at, problems.is_empty())
    else {
        return Err(problems.into());
    };
    let store = &Store::open_existing(database_url).await?;
    let mut user_ids = Vec::with_capacity(emails.len());
    for email in &emails {
        user_ids.push(accounts::find_by_email(store, email).await?.id);
    }
    let new = NewToken {
        label,
        user_ids: Some(user_ids).filter(|ids| !ids.is_empty()),
        can,
        expires_at: expires_at.map(Into::into),
    };
    let (token, value) = management_tokens::create(store, by, new, now).await?;
    let reach = if token.user_ids.is_some() { "the named users" } else { "all users that are not admins" };
    print_message(&format!(
        "created {} for {reach}, to {}; this is the only time its value is shown",
        token.label, token.can
    ))?;
    if args.json {
        return print_json(&token.with_value(Some(&value)));
    }
    Ok(print_line(value.reveal())?)
}

async fn list(json: bool, store: &Store) -> Result<(), CliError> {
    let tokens = management_tokens::list(store).await?;
    if json {
        return print_json(&tokens);
    }
    let mut rows = Vec::with_capacity(tokens.len());
    for token in tokens {
        let users = match &token.user_ids {
            Some(ids) => addresses(ids, store).await?,
            None => "all but admins".to_owned(),
        };
        let can = token.can.to_string();
        let times = [Some(token.created_at), token.last_used_at, token.expires_at].map(time);
        let [created, used, mut expires] = times;
        if let Some(ended_at) = token.ended_at {
            expires = format!("ended {ended_at}");
        }
        rows.push([token.id, token.label, token.mask_value, users, can, created, used, expires]);
    }
    Ok(print_table(["ID", "LABEL", "MASK", "USERS", "CAN", "CREATED", "LAST USED", "EXPIRES"], &rows)?)
}

/// The users' email addresses, in one cell.
async fn addresses(user_ids: &[String], store: &Store) -> Result<String, CliError> {
    let mut addresses = Vec::with_capacity(user_ids.len());
    for id in user_ids {
        addresses.extend(accounts::find(store, id).await?.map(|user| user.email));
    }
    Ok(addresses.join(", "))
}
