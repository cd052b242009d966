//! The SQL of users, and of their sessions, links and management tokens.

pub(crate) mod links;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod users;
