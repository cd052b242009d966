//! How often one caller may change keys and users.

use std::num::NonZeroU32;

use governor::Quota;

use super::rate_limit::{RateLimit, Wait};
use crate::audit::Actor;

/// Counts creations and changes of keys and users, and one-time links, by the user or the management token that makes
/// them: a change of a key or a user makes every edge sync, and each adds rows. What only ends something (a delete, a
/// disabling, a report of leaked keys) is not counted, so that it is never refused.
#[derive(Debug)]
pub(crate) struct ChangeLimit(RateLimit<Option<String>>);

impl ChangeLimit {
    /// A limit of so many changes, at once and then a minute.
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        ChangeLimit(RateLimit::new(&[Quota::per_minute(per_minute)]))
    }

    /// Counts a change.
    ///
    /// # Errors
    /// The actor has to wait.
    pub(crate) fn admit(&self, by: &Actor) -> Result<(), Wait> {
        self.0.admit(&by.id)
    }
}
