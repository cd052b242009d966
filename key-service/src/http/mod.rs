//! What both listeners' HTTP has in common: error bodies, JSON bodies, the request log.

pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod request_log;
