//! The state that the handlers of the API and the page share.

use std::sync::Arc;

use super::public_url::PublicUrl;
use super::throttle::changes::ChangeLimit;
use super::throttle::leak_reports::LeakReportLimit;
use super::throttle::sign_ins::SignInLimits;
use crate::accounts::openid::Providers;
use crate::accounts::passwords::Passwords;
use crate::audit::refusals::Refusals;
use crate::catalogue::Catalogue;
use crate::revocation::Store;

/// The shared state.
#[derive(Clone)]
pub(crate) struct AppState {
    /// The database, with the state of the lease protocol.
    pub(crate) store: Store,
    /// Checks and hashes passwords.
    pub(crate) passwords: Passwords,
    /// Whether users can sign in with passwords.
    pub(crate) has_passwords: bool,
    /// The OpenID providers that users can sign in with.
    pub(crate) providers: Arc<Providers>,
    /// Limits attempts to sign in.
    pub(crate) limits: Arc<SignInLimits>,
    /// Limits changes.
    pub(crate) changes: Arc<ChangeLimit>,
    /// Limits reports of leaked values without a sign-in; `None` if the service accepts no such reports.
    pub(crate) leak_reports: Option<Arc<LeakReportLimit>>,
    /// The refusals that the audit log recorded lately.
    pub(crate) refusals: Arc<Refusals>,
    /// The objects that scopes can name.
    pub(crate) catalogue: Arc<Catalogue>,
    /// The service's address in browsers, if set.
    pub(crate) public_url: Option<PublicUrl>,
    /// The address of the API that the keys are for, if set.
    pub(crate) api_url: Option<PublicUrl>,
}
