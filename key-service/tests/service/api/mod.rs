//! The public API: a file a route, and what all routes share.

mod audit_log;
mod authority;
mod change_limit;
mod errors;
mod leaked_keys;
mod links;
mod login;
mod management_tokens;
mod personal_api_keys;
mod refusals;
mod roles;
mod users;
