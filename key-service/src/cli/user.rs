//! `key-service user`: add, list, passwd, disable, enable, permissions.

use super::CliError;
use super::revocation::report;
use super::terminal::{print_json, print_line, print_table, read_new_password, tell};
use crate::accounts::{self, AccountError, NewUser};
use crate::audit::Actor;
use crate::clock::Timestamp;
use crate::key_fields;
use crate::passwords::Passwords;
use crate::store::Database;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an account and print its id
    Add(AddArgs),
    /// Show all users
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a user a new password, and end the user's sessions
    Passwd {
        /// The user's e-mail address
        email: String,
        /// Read the password from standard input instead of asking for it
        #[arg(long)]
        password_stdin: bool,
    },
    /// Shut a user and all of the user's keys out, and wait until no edge accepts them
    Disable(ChangeArgs),
    /// Let a disabled user and the user's keys in again
    Enable(ChangeArgs),
    /// Replace what a user's keys can do at most, and wait until every edge knows
    Permissions {
        #[command(flatten)]
        change: ChangeArgs,
        /// The most that any key of the user can do: scopes separated by commas
        scopes: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ChangeArgs {
    /// The user's e-mail address
    email: String,
    /// Print the revocation as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// The e-mail address to log in with
    email: String,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
    /// The most that any key of the user can do: scopes separated by commas
    #[arg(long, default_value = "*")]
    permissions: String,
    /// Let the user manage other users
    #[arg(long)]
    admin: bool,
    /// Succeed and change nothing if there is such a user
    #[arg(long)]
    if_absent: bool,
}

pub(super) async fn run(command: Command, database: &Database) -> Result<(), CliError> {
    let by = Actor::command_line();
    match command {
        Command::Add(args) => add(args, &by, database).await,
        Command::List { json } => list(json, database).await,
        Command::Passwd { email, password_stdin } => {
            let user = accounts::find_by_email(database, &email).await?;
            let password = read_new_password(password_stdin)?;
            accounts::set_password(database, &by, &Passwords::default(), &user.id, password).await?;
            Ok(tell(&format!("changed the password of {} and ended the user's sessions", user.email))?)
        }
        Command::Disable(ChangeArgs { email, json }) => {
            let user = accounts::find_by_email(database, &email).await?;
            let settling = accounts::set_active(database, &by, &user.id, false).await?;
            let done = format!("disabled {}: neither the user nor a key of the user is let in", user.email);
            report(&done, &settling.settled().await?, json)
        }
        Command::Enable(ChangeArgs { email, json }) => {
            let user = accounts::find_by_email(database, &email).await?;
            let settling = accounts::set_active(database, &by, &user.id, true).await?;
            report(&format!("enabled {}", user.email), &settling.settled().await?, json)
        }
        Command::Permissions { change: ChangeArgs { email, json }, scopes } => {
            let permissions = key_fields::scopes("permissions", super::key::scope_texts(&scopes))?;
            let user = accounts::find_by_email(database, &email).await?;
            let settling = accounts::set_permissions(database, &by, &user.id, &permissions).await?;
            let done = format!("{} and the user's keys can do {permissions} at most", user.email);
            report(&done, &settling.settled().await?, json)
        }
    }
}

async fn add(args: AddArgs, by: &Actor, database: &Database) -> Result<(), CliError> {
    let permissions = key_fields::scopes("permissions", super::key::scope_texts(&args.permissions))?;
    if args.if_absent {
        match accounts::find_by_email(database, &args.email).await {
            Ok(user) => {
                tell(&format!("{} is there already; nothing changed", user.email))?;
                return Ok(print_line(&user.id)?);
            }
            Err(AccountError::NoSuchUser(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let password = read_new_password(args.password_stdin)?;
    let new = NewUser { email: args.email, password: Some(password), permissions, is_admin: args.admin };
    let user = accounts::add(database, by, &Passwords::default(), new, Timestamp::now()).await?;
    tell(&format!("added {}", user.email))?;
    Ok(print_line(&user.id)?)
}

async fn list(json: bool, database: &Database) -> Result<(), CliError> {
    let users = accounts::list(database).await?;
    if json {
        return print_json(&users);
    }
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let rows: Vec<_> = users
        .into_iter()
        .map(|user| {
            let permissions = user.permissions.to_string();
            [user.id, user.email, yes(user.is_active), yes(user.is_admin), permissions]
        })
        .collect();
    Ok(print_table(["ID", "EMAIL", "ACTIVE", "ADMIN", "PERMISSIONS"], &rows)?)
}
