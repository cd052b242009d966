//! The database of a command that may create it.

use super::error::CliError;
use super::terminal::print_message;
use crate::db::error::OpenError;
use crate::revocation::Store;

/// Opens the database, and creates a missing one. It says so: without the variable of the service, a command would begin another
/// database unnoticed.
pub(super) async fn open_or_create(url: &str) -> Result<Store, CliError> {
    match Store::open_existing(url).await {
        Err(OpenError::Missing(place)) => {
            print_message(&format!(
                "there is no database {place}, so this command creates it; --database-url (DATABASE_URL) names another one"
            ))?;
            Ok(Store::open(url).await?)
        }
        opened => Ok(opened?),
    }
}
