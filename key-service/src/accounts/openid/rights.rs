//! Users whose rights a provider's groups decide. A sign-in with a password would bypass the groups, so these users sign in with the
//! provider only.

use sqlx::AnyExecutor;

use super::provider::Providers;
use super::settings::ProviderSettings;
use crate::accounts::error::AccountError;
use crate::accounts::sql::identities;
use crate::db;

/// The provider whose groups decide the permissions or the role of a user, if there is one.
///
/// # Errors
/// The database failed.
pub(crate) async fn deciding_provider<'a>(
    connection: impl AnyExecutor<'_>,
    providers: &'a Providers,
    user_id: &str,
) -> db::Result<Option<&'a ProviderSettings>> {
    let settings = providers.iter().map(|provider| &provider.settings);
    let deciding: Vec<_> = settings.filter(|settings| settings.groups.decide_rights()).collect();
    if deciding.is_empty() {
        return Ok(None);
    }
    let identities = identities::of_users(connection, &[user_id]).await?;
    let is_known = |issuer: &str| identities.iter().any(|identity| identity.issuer == issuer);
    Ok(deciding.into_iter().find(|provider| is_known(provider.issuer.as_str())))
}

/// Refuses if the groups at a provider decide the rights of a user.
///
/// # Errors
/// They do, or the database failed.
pub(crate) async fn require_no_deciding_provider(
    connection: impl AnyExecutor<'_>,
    providers: &Providers,
    user_id: &str,
) -> Result<(), AccountError> {
    match deciding_provider(connection, providers, user_id).await? {
        Some(provider) => Err(AccountError::DecidedByGroups(provider.title.clone())),
        None => Ok(()),
    }
}
