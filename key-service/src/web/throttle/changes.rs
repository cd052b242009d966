//! Limits how often a caller may change keys and users.

use std::num::NonZeroU32;

use governor::Quota;

use super::rate_limit::{RateLimit, Wait};
use crate::audit::Actor;

/// Limits creations and changes of keys and users, and one-time links, for each user and each management token. A change of
/// a key or a user makes every edge sync, and each of them adds rows. Deleting, disabling and reporting leaked keys are never
/// limited.
#[derive(Debug)]
pub(crate) struct ChangeLimit(RateLimit<Option<String>>);

impl ChangeLimit {
    /// A limit of `changes_per_minute`, with a burst of the same size.
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        ChangeLimit(RateLimit::new(&[Quota::per_minute(per_minute)]))
    }

    /// Counts a change.
    ///
    /// # Errors
    /// The actor must wait.
    pub(crate) fn admit(&self, by: &Actor) -> Result<(), Wait> {
        self.0.admit(&by.id)
    }
}
