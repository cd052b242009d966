//! The errors of adding and changing users.

use super::authority::AuthorityError;
use super::passwords::PasswordError;
use crate::db;
use crate::validation::FieldError;

/// Why an account could not be created or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A field is invalid.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The caller has lost its rights since the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The address is another account's.
    #[error("email: there is a user with this address already: {0}")]
    EmailTaken(String),
    /// No user has that address.
    #[error("email: there is no user with this address: {0}")]
    NoSuchUser(String),
    /// No user has that id.
    #[error("there is no such user")]
    NotFound,
    /// No admin would be left.
    #[error("this is the last active admin; create another admin first")]
    LastAdmin,
    /// Admins cannot delete their own accounts.
    #[error("you cannot delete yourself")]
    DeletesSelf,
    /// A management token may not do this, because it would extend its own rights.
    #[error("Only an admin who is signed in can do this; a management token cannot.")]
    InPerson,
    /// A service account cannot have this.
    #[error("This is a service account, which cannot sign in and cannot be an admin.")]
    ServiceAccount,
    /// The user is disabled and could not use the link.
    #[error("email: this user is disabled; enable the user first: {0}")]
    Disabled(String),
    /// The current password that the user sent is wrong.
    #[error("current_password: this is not your current password")]
    WrongPassword,
    /// Admins cannot unlink their own accounts at providers.
    #[error("you cannot unlink your own account at a provider")]
    UnlinksSelf,
    /// The user has no identity with that id.
    #[error("the user has no such account at a provider")]
    NoSuchIdentity,
    /// A user signs in with this account at the provider already.
    #[error("subject: a user has this account at the provider already; unlink it first")]
    IdentityTaken,
    /// The user has another account at this provider.
    #[error("issuer: this user has another account at the provider; unlink it first: {0}")]
    IssuerTaken(String),
    /// The groups at this provider decide what the user may do, and a password would bypass them.
    #[error(
        "The groups at {0} decide what this user may do, so the user signs in with {0}, not with a password."
    )]
    DecidedByGroups(String),
    /// Argon2 failed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}
