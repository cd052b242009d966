//! Why a user could not be added or changed.

use super::authority::AuthorityError;
use super::passwords::PasswordError;
use crate::db;
use crate::validation::FieldError;

/// Why an account could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A field holds what it may not hold.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The caller has lost its rights since the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The address is another account's.
    #[error("email: there is a user with this address already: {0}")]
    EmailTaken(String),
    /// Nobody has that address.
    #[error("email: there is no user with this address: {0}")]
    NoSuchUser(String),
    /// Nobody has that id.
    #[error("there is no such user")]
    NotFound,
    /// Nobody could manage users any more.
    #[error("this is the last admin who is let in; make another one first")]
    LastAdmin,
    /// What a token does not do, since it would make more of itself.
    #[error("Only an admin who is signed in can do this; a management token cannot.")]
    InPerson,
    /// A user who is shut out could not use the link.
    #[error("email: this user is disabled; enable the user first: {0}")]
    Disabled(String),
    /// The password that a user sent as the present one is another.
    #[error("current_password: this is not your present password")]
    WrongPassword,
    /// Argon2 failed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}
