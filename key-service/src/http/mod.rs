//! What both listeners' HTTP has in common: where requests come from, bearer tokens, error bodies, JSON bodies, query
//! parameters, the request log.

pub(crate) mod bearer;
pub(crate) mod client_address;
pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod params;
pub(crate) mod request_log;
