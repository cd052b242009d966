//! `key-service key list`.

use crate::accounts;
use crate::accounts::access::KeyAccess;
use crate::cli::arguments::{pages, state};
use crate::cli::error::CliError;
use crate::cli::terminal::{print_json, print_table, time};
use crate::keys::rules::AnyScope;
use crate::keys::{self, KeySearch, KeyState, OwnedKey};
use crate::revocation::Store;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only the keys of the user with this email address, or of service:NAME
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// Only keys whose label, masked value or owner's address contains this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only keys that have exactly this scope
    #[arg(long)]
    scope: Option<String>,
    /// Only keys in this state; old: created or rolled 90 days ago or earlier; unused: not used for 90 days
    #[arg(long, value_parser = state())]
    state: Option<KeyState>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, store: &Store) -> Result<(), CliError> {
    let scope = args.scope.map(AnyScope::try_from).transpose();
    let scope = scope.map_err(|violation| violation.of("scope"))?;
    let user_id = match &args.user {
        Some(email) => Some(accounts::find_by_email(store, email).await?.id),
        None => None,
    };
    let search = KeySearch {
        user_id,
        text: args.search,
        scope: scope.map(Into::into),
        state: args.state,
        ..KeySearch::all(KeyAccess::Anyone, Timestamp::now())
    };
    let keys = pages(async |page| keys::search(store, &KeySearch { page, ..search.clone() }).await).await?;
    if args.json {
        return print_json(&keys.iter().map(OwnedKey::view).collect::<Vec<_>>());
    }
    let rows: Vec<_> = keys
        .into_iter()
        .map(|OwnedKey { key, user_email, .. }| {
            let scopes = key.scopes.to_string();
            let restrictions = match key.restrictions.is_empty() {
                true => "none".to_owned(),
                false => key.restrictions.to_string(),
            };
            let times = [Some(key.created_at), key.last_used_at, key.expires_at].map(time);
            let [created, used, expires] = times;
            [key.id, user_email, key.label, key.mask_value, scopes, restrictions, created, used, expires]
        })
        .collect();
    Ok(print_table(
        ["ID", "USER", "LABEL", "MASK", "SCOPES", "RESTRICTIONS", "CREATED", "LAST USED", "EXPIRES"],
        &rows,
    )?)
}
