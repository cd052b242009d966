//! What the handlers of the public listener share, those of the API and those of the page.

use std::sync::Arc;

use super::public_url::PublicUrl;
use super::throttle::changes::ChangeLimit;
use super::throttle::sign_ins::SignInLimits;
use crate::accounts::passwords::Passwords;
use crate::audit::refusals::Refusals;
use crate::revocation::Store;

/// See the module.
#[derive(Clone)]
pub(crate) struct AppState {
    /// Where users and keys are.
    pub(crate) store: Store,
    /// Checks and hashes passwords.
    pub(crate) passwords: Passwords,
    /// Counts the tries to sign in.
    pub(crate) limits: Arc<SignInLimits>,
    /// Counts changes.
    pub(crate) changes: Arc<ChangeLimit>,
    /// The refusals that the audit log has of late.
    pub(crate) refusals: Arc<Refusals>,
    /// Where browsers reach the service; `None` if nobody told.
    pub(crate) public_url: Option<PublicUrl>,
    /// Where the API is that the keys are for; `None` if nobody told.
    pub(crate) api_url: Option<PublicUrl>,
}
