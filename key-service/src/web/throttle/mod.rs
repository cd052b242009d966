//! Rate limits.

pub(super) mod changes;
pub(crate) mod rate_limit;
pub(super) mod sign_ins;
