//! Users, service accounts among them, their passwords, OpenID providers, sessions and one-time links, and the management tokens
//! that admins create.
//!
//! They are one module because they end together: when an admin is disabled, the admin's sessions, links and tokens
//! end in one transaction. Inside a transaction, [`authority`] checks that a caller still has its rights.

pub mod access;
mod address;
pub mod authority;
mod error;
pub mod links;
pub mod management_tokens;
pub(crate) mod openid;
mod password_change;
pub mod passwords;
mod registration;
pub(crate) mod removal;
mod service_account;
mod sign_in;
pub(crate) mod sql;
mod token;
mod update;
mod user;
mod verb;

pub(crate) use address::normal_address;
pub use address::{ServiceName, UserKind};
pub use error::AccountError;
pub(crate) use password_change::change_password;
pub use password_change::set_password;
pub use registration::{NewUser, add, find, find_by_email, has_admin, search};
pub(crate) use registration::{insert, is_any};
pub use service_account::add_service_account;
pub use sign_in::signed_out;
pub(crate) use sign_in::{authenticate, has_signed_in_from, sign_in_throttled};
pub use update::{ChangedUser, Updated, UserPatch, set_active, set_permissions, update};
pub use user::{Email, User};
