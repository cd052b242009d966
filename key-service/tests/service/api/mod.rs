//! The public API: one file for each route, and files for the behaviour that all routes share.

mod answers;
mod audit_log;
mod authority;
mod change_limit;
mod edges;
mod errors;
mod idempotency;
mod keys;
mod leaked_keys;
mod leaked_values;
pub(crate) mod links;
mod login;
mod management_tokens;
mod own_account;
mod personal_api_keys;
mod refusals;
pub(crate) mod roles;
mod service_accounts;
mod user_deletion;
mod users;
