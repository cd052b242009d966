//! Rate limits.

pub(super) mod changes;
pub(super) mod leak_reports;
pub(crate) mod rate_limit;
pub(super) mod sign_ins;
