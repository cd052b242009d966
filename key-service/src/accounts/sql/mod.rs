//! The SQL of users, and of what they come in with.

pub(crate) mod links;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod users;
