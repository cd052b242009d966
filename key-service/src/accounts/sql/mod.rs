//! The SQL of users, and of their identities, sessions, links and management tokens.

pub(crate) mod identities;
pub(crate) mod links;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod users;
