//! `key-service user`: add, add-service, list, link, first-link, passwd, link-identity, unlink, disable, enable, delete, admin,
//! permissions.

use protocol::ScopeSet;
use serde_json::json;

use super::arguments::{self, PERMISSIONS_HELP, pages, within_catalogue};
use super::database::open_or_create;
use super::error::CliError;
use super::revocation::{report, wait};
use super::terminal::{counted, print_json, print_line, print_message, print_table, read_new_password};
use crate::accounts::links::{self, Secret};
use crate::accounts::openid::{self, Providers};
use crate::accounts::passwords::Passwords;
use crate::accounts::{
    self, AccountError, Email, NewUser, ServiceName, Updated, User, UserPatch, normal_address,
};
use crate::audit::Actor;
use crate::db::error::OpenError;
use crate::keys;
use crate::revocation::Store;
use crate::settings::{ScopeCatalogue, operator, variable};
use crate::time::Timestamp;
use crate::validation::{FieldErrors, Violation};
use crate::web::public_url::PublicUrl;

mod identity;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create an account and print its id
    Add(AddArgs),
    /// Create a service account, which owns keys without a person, and print its id; its address is service:NAME
    AddService(AddServiceArgs),
    #[command(flatten)]
    Stored(Stored),
}

/// The subcommands that need an existing database.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Stored {
    /// Show users, by email address
    List {
        /// Only users whose email address contains this text
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a one-time link that lets a user set a password; it replaces the user's earlier link
    Link {
        /// The user's email address
        email: String,
        /// The service's address in browsers; without it, only the path is printed
        #[arg(long, env = "PUBLIC_URL")]
        public_url: Option<PublicUrl>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a one-time link that creates the first admin, while no admin exists; it replaces the earlier link
    FirstLink {
        /// The service's address in browsers; without it, only the path is printed
        #[arg(long, env = "PUBLIC_URL")]
        public_url: Option<PublicUrl>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a user a new password, and end the user's sessions
    Passwd {
        /// The user's email address
        email: String,
        /// Read the password from standard input instead of asking for it
        #[arg(long)]
        password_stdin: bool,
    },
    #[command(flatten)]
    Identity(identity::Command),
    /// Disable a user and the user's keys, and wait until no edge accepts them; ends the tokens that the user created as an
    /// admin
    Disable(ChangeArgs),
    /// Enable a disabled user and the user's keys
    Enable(ChangeArgs),
    /// Delete a user with all keys permanently, and wait until no edge accepts them; ends the tokens that the user created or
    /// that name no other user
    Delete(ChangeArgs),
    /// Promote a user to admin; ends the user's sessions, the user's link and the tokens that name the user, and removes a
    /// password that a token set
    Admin {
        #[command(flatten)]
        change: ChangeArgs,
        /// Demote the user; ends the tokens that the user created
        #[arg(long)]
        remove: bool,
    },
    /// Replace a user's permissions, and wait until every edge has applied them
    #[command(after_help = PERMISSIONS_HELP)]
    Permissions {
        #[command(flatten)]
        change: ChangeArgs,
        /// The user's permissions, which limit every key of the user: scopes separated by commas, or none
        permissions: String,
        #[command(flatten)]
        catalogue: ScopeCatalogue,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ChangeArgs {
    /// The user's email address, or service:NAME
    email: String,
    /// Print the revocation as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = PERMISSIONS_HELP)]
pub(super) struct AddArgs {
    /// The email address to sign in with
    email: String,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
    /// Create the account without a password; `user link` lets the user set one
    #[arg(long, conflicts_with = "password_stdin")]
    without_password: bool,
    /// The user's permissions, which limit every key of the user: scopes separated by commas, or none
    #[arg(long, default_value = "*")]
    permissions: String,
    #[command(flatten)]
    catalogue: ScopeCatalogue,
    /// Create the user as an admin, who manages other users
    #[arg(long)]
    admin: bool,
    /// Succeed and change nothing if the user exists
    #[arg(long)]
    if_absent: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = PERMISSIONS_HELP)]
pub(super) struct AddServiceArgs {
    /// The name: lower-case letters, digits, -, _ and .
    name: String,
    /// The permissions, which limit every key of the service account: scopes separated by commas, or none
    #[arg(long)]
    permissions: String,
    #[command(flatten)]
    catalogue: ScopeCatalogue,
    /// Succeed and change nothing if the service account exists
    #[arg(long)]
    if_absent: bool,
}

pub(super) async fn run(command: Command, database_url: &str) -> Result<(), CliError> {
    let by = operator();
    let command = match command {
        Command::Add(args) => return add(args, &by, database_url).await,
        Command::AddService(args) => return add_service(args, &by, database_url).await,
        Command::Stored(command) => command,
    };
    match command {
        Stored::List { search, json } => {
            list(search.as_deref(), json, &Store::open_existing(database_url).await?).await
        }
        Stored::Link { email, public_url, json } => {
            link(&email, public_url.as_ref(), json, &by, database_url).await
        }
        Stored::FirstLink { public_url, json } => {
            let store = &Store::open_existing(database_url).await?;
            let link = links::create_first(store, &by).await?;
            let secret = link.ok_or(CliError::NotFirst)?;
            note_if_passwords_are_off()?;
            let minutes = links::FIRST_LIFETIME_S / 60;
            let description =
                format!("this one-time link creates the first admin; it expires in {minutes} minutes");
            print_link(&secret, links::FIRST_LIFETIME_S, &description, public_url.as_ref(), json)
        }
        Stored::Passwd { email, password_stdin } => {
            let (store, user) = find(&email, database_url).await?;
            let password = read_new_password(password_stdin, &user.email)?;
            accounts::set_password(&store, &by, &Passwords::default(), &user.id, password).await?;
            note_if_password_may_be_refused(&user)?;
            Ok(print_message(&format!(
                "changed the password of {} and ended the user's sessions",
                user.email
            ))?)
        }
        Stored::Identity(command) => identity::run(command, &by, database_url).await,
        Stored::Disable(ChangeArgs { email, json }) => {
            let (store, user) = find_to_revoke(&email, database_url).await?;
            let updated = accounts::set_active(&store, &by, &user.id, false).await?;
            let done = format!("disabled {}; the user's keys no longer work", user.email);
            report_user(&done, updated, json).await
        }
        Stored::Enable(ChangeArgs { email, json }) => {
            let (store, user) = find(&email, database_url).await?;
            let updated = accounts::set_active(&store, &by, &user.id, true).await?;
            report_user(&format!("enabled {}", user.email), updated, json).await
        }
        Stored::Delete(ChangeArgs { email, json }) => {
            let (store, user) = find_to_revoke(&email, database_url).await?;
            let deleted = keys::delete_user(&store, &by, &user.id).await?;
            for note in deleted.notes() {
                print_message(&note)?;
            }
            let keys = counted(deleted.keys as u64, "key");
            let done = format!("deleted {} and {keys}", user.email);
            report(&done, &wait(deleted.propagation).await?, json)
        }
        Stored::Admin { change: ChangeArgs { email, json }, remove } => {
            let (store, user) = find(&email, database_url).await?;
            let patch = UserPatch { is_admin: Some(!remove), ..UserPatch::default() };
            let updated = accounts::update(&store, &by, &user.id, &patch).await?;
            let email = &user.email;
            let done = if remove { format!("demoted {email}") } else { format!("promoted {email} to admin") };
            report_user(&done, updated, json).await
        }
        Stored::Permissions { change: ChangeArgs { email, json }, permissions, catalogue } => {
            let catalogue = catalogue.read()?;
            let of_argument = |violation: Violation| violation.of("permissions");
            let permissions = arguments::permissions(&permissions).map_err(of_argument)?;
            let (store, user) = find(&email, database_url).await?;
            let permissions =
                within_catalogue(permissions, &catalogue, &user.permissions).map_err(of_argument)?;
            let updated = accounts::set_permissions(&store, &by, &user.id, &permissions).await?;
            let shown = arguments::permissions_shown(&permissions);
            let done = format!("changed the permissions of {} to {shown}", user.email);
            report_user(&done, updated, json).await
        }
    }
}

/// The user with an email address, in an existing database. An address of a wrong form is refused before it is opened.
async fn find(email: &str, database_url: &str) -> Result<(Store, User), CliError> {
    let email = normal_address(email).map_err(|violation| violation.of("email"))?;
    let store = Store::open_existing(database_url).await?;
    let user = accounts::find_by_email(&store, &email).await?;
    Ok((store, user))
}

/// The same, to end the user's keys. An unknown user may just have been deleted, so the error returns when every edge has
/// applied the deletion.
async fn find_to_revoke(email: &str, database_url: &str) -> Result<(Store, User), CliError> {
    let email = normal_address(email).map_err(|violation| violation.of("email"))?;
    let store = Store::open_existing(database_url).await?;
    match accounts::find_by_email(&store, &email).await {
        Err(error @ AccountError::NoSuchUser(_)) => {
            keys::await_earlier_deletion(&store).await?;
            Err(error.into())
        }
        user => Ok((store, user?)),
    }
}

/// Reports a change of a user and its side effects.
async fn report_user(done: &str, updated: Updated, json: bool) -> Result<(), CliError> {
    for note in updated.notes() {
        print_message(&note)?;
    }
    report(done, &wait(updated.propagation).await?, json)
}

async fn add(args: AddArgs, by: &Actor, database_url: &str) -> Result<(), CliError> {
    // Check the input first: invalid input must not create a database.
    let mut problems = FieldErrors::default();
    let catalogue = args.catalogue.read()?;
    let permissions = arguments::permissions(&args.permissions)
        .and_then(|permissions| within_catalogue(permissions, &catalogue, &ScopeSet::default()));
    let permissions = problems.check("permissions", permissions);
    problems.check("email", normal_address(&args.email));
    let Some(permissions) = permissions.filter(|_| problems.is_empty()) else {
        return Err(problems.into());
    };
    let existing = match Store::open_existing(database_url).await {
        Ok(store) => Some(store),
        Err(OpenError::Missing(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if args.if_absent
        && let Some(store) = &existing
    {
        match accounts::find_by_email(store, &args.email).await {
            Ok(user) => {
                print_message(&format!("{} already exists; nothing changed", user.email))?;
                return Ok(print_line(&user.id)?);
            }
            Err(AccountError::NoSuchUser(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // After the search: users of earlier releases can have addresses that new ones cannot.
    let email = args.email.parse::<Email>().map_err(|violation| violation.of("email"))?;
    let password = match args.without_password {
        true => None,
        false => Some(read_new_password(args.password_stdin, email.as_ref())?),
    };
    let store = &match existing {
        Some(store) => store,
        None => open_or_create(database_url).await?,
    };
    let new = NewUser { email, password, permissions, is_admin: args.admin };
    let user = accounts::add(store, by, &Passwords::default(), new, Timestamp::now()).await?;
    print_message(&format!("added {}", user.email))?;
    if !accounts::has_admin(store).await? {
        print_message(&format!("there is no admin yet; `key-service user admin {}` makes one", user.email))?;
    }
    Ok(print_line(&user.id)?)
}

async fn add_service(args: AddServiceArgs, by: &Actor, database_url: &str) -> Result<(), CliError> {
    let mut problems = FieldErrors::default();
    let catalogue = args.catalogue.read()?;
    let permissions = arguments::permissions(&args.permissions)
        .and_then(|permissions| within_catalogue(permissions, &catalogue, &ScopeSet::default()));
    let permissions = problems.check("permissions", permissions);
    let name = problems.check("name", args.name.parse::<ServiceName>());
    let (Some(permissions), Some(name)) = (permissions, name) else { return Err(problems.into()) };
    let store = &Store::open_existing(database_url).await?;
    if args.if_absent {
        match accounts::find_by_email(store, &name.address()).await {
            Ok(user) => {
                print_message(&format!("{} already exists; nothing changed", user.email))?;
                return Ok(print_line(&user.id)?);
            }
            Err(AccountError::NoSuchUser(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let user = accounts::add_service_account(store, by, &name, permissions, Timestamp::now()).await?;
    print_message(&format!("added {}", user.email))?;
    Ok(print_line(&user.id)?)
}

async fn link(
    email: &str,
    public_url: Option<&PublicUrl>,
    json: bool,
    by: &Actor,
    database_url: &str,
) -> Result<(), CliError> {
    let (store, user) = find(email, database_url).await?;
    let secret = links::create(&store, by, &Providers::default(), &user.id).await?;
    note_if_password_may_be_refused(&user)?;
    let days = links::LIFETIME_S / (24 * 60 * 60);
    let description =
        format!("this one-time link lets {} set a password; it expires in {days} days", user.email);
    print_link(&secret, links::LIFETIME_S, &description, public_url, json)
}

/// Says it if the service that has the same environment accepts no passwords.
fn note_if_passwords_are_off() -> Result<(), CliError> {
    if variable("LOCAL_PASSWORDS").as_deref() == Some("false") {
        print_message(
            "passwords are turned off (LOCAL_PASSWORDS=false): the service accepts none until they are on again",
        )?;
    }
    Ok(())
}

/// Says it if the service may not accept a password of this user.
fn note_if_password_may_be_refused(user: &User) -> Result<(), CliError> {
    note_if_passwords_are_off()?;
    if user.has_identity {
        print_message(&format!(
            "{} signs in with an OpenID provider; if its groups decide the user's rights, the service refuses a password",
            user.email
        ))?;
    }
    Ok(())
}

fn print_link(
    secret: &Secret,
    lifetime_s: u32,
    description: &str,
    public_url: Option<&PublicUrl>,
    json: bool,
) -> Result<(), CliError> {
    let path = secret.path();
    let url = public_url.map(|base| format!("{base}{path}"));
    if json {
        return print_json(&json!({ "url": url, "path": path, "expires_in_s": lifetime_s }));
    }
    print_message(description)?;
    if url.is_none() {
        print_message(
            "append this path to the service's address; with PUBLIC_URL, the command prints the whole link",
        )?;
    }
    Ok(print_line(&url.unwrap_or(path))?)
}

async fn list(search: Option<&str>, json: bool, store: &Store) -> Result<(), CliError> {
    let users = pages(async |page| accounts::search(store, search, page).await).await?;
    if json {
        return print_json(&openid::of_users(store, users).await?);
    }
    let rows: Vec<_> = users
        .into_iter()
        .map(|user| {
            let can_begin = user.has_password || user.has_identity || user.kind.is_service();
            let state = match (user.is_active, can_begin) {
                (false, _) => "disabled",
                (true, false) => "no password yet",
                (true, true) => "active",
            };
            let signs_in = match (user.has_password, user.has_identity) {
                (true, true) => "password, openid",
                (true, false) => "password",
                (false, true) => "openid",
                (false, false) => "-",
            };
            let is_admin = if user.is_admin { "yes" } else { "no" };
            let permissions = arguments::permissions_shown(&user.permissions);
            [
                user.id,
                user.email,
                state.to_owned(),
                signs_in.to_owned(),
                is_admin.to_owned(),
                permissions,
                user.created_at.to_string(),
            ]
        })
        .collect();
    Ok(print_table(["ID", "EMAIL", "STATE", "SIGN-IN", "ADMIN", "PERMISSIONS", "CREATED"], &rows)?)
}
