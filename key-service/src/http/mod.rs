//! What both listeners' HTTP has in common: bearer tokens, error bodies, JSON bodies, query parameters, the request log.

pub(crate) mod bearer;
pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod params;
pub(crate) mod request_log;
