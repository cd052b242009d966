//! `key-service audit`.

use uuid::Uuid;

use super::arguments::{actions, pages};
use super::error::CliError;
use super::terminal::{print_json, print_table};
use crate::accounts;
use crate::audit::{self, AuditSearch, Entry, Since, Until};
use crate::paging::{MAX_LIMIT, PageRequest};
use crate::revocation::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only actions with this prefix, such as key.deleted, or key. for all actions on keys
    #[arg(long, value_parser = actions)]
    action: Option<String>,
    /// Only entries about the user with this email address or id, or by that user. A deleted user has only an id; --search finds
    /// its entries by the address too
    #[arg(long, value_name = "EMAIL_OR_ID")]
    user: Option<String>,
    /// Only entries about the key or management token with this id
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Only entries by actors whose email address or token label contains this text
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// Only entries about a user, key or token whose email address or label contains this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only entries at or after this time, such as 2030-01-31T12:00:00Z or 2030-01-31
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Only entries at or before this time; a date includes its whole day in UTC
    #[arg(long, value_name = "TIME")]
    until: Option<Until>,
    /// All entries, without a limit
    #[arg(long, conflicts_with_all = ["limit", "offset"])]
    all: bool,
    /// The most entries to show
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LIMIT)))]
    limit: u32,
    /// How many of the newest entries to skip
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    offset: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, store: &Store) -> Result<(), CliError> {
    let user_id = match &args.user {
        // No address is a UUID.
        Some(id) if Uuid::try_parse(id).is_ok() => Some(id.to_lowercase()),
        Some(email) => Some(accounts::find_by_email(store, email).await?.id),
        None => None,
    };
    let search = AuditSearch {
        action: args.action,
        user_id,
        subject_id: args.subject,
        actor: args.actor,
        concerns: args.search,
        since: args.since.map(|Since(time)| time),
        until: args.until.map(|Until(time)| time),
        page: PageRequest { limit: args.limit, offset: args.offset },
    };
    let entries = match args.all {
        true => {
            pages(async |page| audit::search(store, &AuditSearch { page, ..search.clone() }).await).await?
        }
        false => audit::search(store, &search).await?.rows,
    };
    if args.json {
        return print_json(&entries);
    }
    let rows: Vec<_> = entries.into_iter().map(row).collect();
    Ok(print_table(["AT", "BY", "FROM", "ACTION", "USER", "SUBJECT", "DETAIL"], &rows)?)
}

fn row(entry: Entry) -> [String; 7] {
    let by = format!("{} {}", entry.actor_kind.as_str(), entry.actor_name).trim_end().to_owned();
    let subject = match (entry.subject_name, entry.subject_id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (name, id) => name.or(id).unwrap_or_default(),
    };
    let detail = if entry.detail.is_null() { String::new() } else { entry.detail.to_string() };
    let [from, user] = [entry.address, entry.user_email].map(Option::unwrap_or_default);
    [entry.at.to_string(), by, from, entry.action, user, subject, detail]
}
