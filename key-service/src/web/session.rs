//! Browser sessions, from sign-in to the end.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use time::Duration;
use tower::{Layer, ServiceExt};
use tower_sessions::{Expiry, Session, SessionManagerLayer};

use super::error::ApiError;
use super::headers::cookie;
use super::public_url::{PublicUrl, is_plain_loopback};
use crate::accounts::sql::sessions::{self, Sessions};
use crate::accounts::{self, User};
use crate::audit::{Actor, ActorSession};
use crate::revocation::Store;
use crate::time::Timestamp;

/// The session cookie's name. With this prefix, browsers accept the cookie only from this host over HTTPS, so no other host of
/// the domain can plant a session (RFC 6265bis, section 4.1.3.2).
pub(super) const COOKIE: &str = "__Host-session";

/// The cookie's name over plain HTTP on the service's own machine, where browsers refuse the prefix.
pub(super) const LOOPBACK_COOKIE: &str = "session";

/// An unused session ends after this time.
const IDLE_EXPIRY: Expiry = Expiry::OnInactivity(Duration::days(14));

/// A session ends at most this long after sign-in.
const LIFETIME_S: u32 = 30 * 24 * 60 * 60;

/// The answer to a password, or a link to set one, if users cannot sign in with passwords.
pub(crate) const PASSWORDS_ARE_OFF: &str =
    "Passwords are turned off. Sign in with your organization's account.";

/// After a sign-in with a provider, a session ends at most this long after sign-in. The provider may have ended the account, and
/// the user's groups are read only at sign-in.
const LIFETIME_WITH_PROVIDER_S: u32 = 12 * 60 * 60;

/// How often a used session is renewed, which restarts its idle time.
const RENEWAL_S: u32 = 24 * 60 * 60;

/// The only entry in a session's data.
const LOGIN: &str = "login";

/// The layer that finds a request's session, once for each of the two cookie names.
#[derive(Clone, Debug)]
pub(super) struct SessionCookies {
    secure: SessionManagerLayer<Sessions>,
    loopback: SessionManagerLayer<Sessions>,
    public_url: Option<PublicUrl>,
}

impl SessionCookies {
    pub(super) fn new(store: &Store, public_url: Option<PublicUrl>) -> Self {
        let layer =
            |name| SessionManagerLayer::new(Sessions(store.clone())).with_name(name).with_expiry(IDLE_EXPIRY);
        SessionCookies {
            secure: layer(COOKIE),
            loopback: layer(LOOPBACK_COOKIE).with_secure(false),
            public_url,
        }
    }
}

/// Whether a request came over plain HTTP on the service's own machine, where cookies have neither `Secure` nor a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsPlainLoopback(pub(crate) bool);

/// Finds the session of a request by the one cookie that its connection allows. Adds [`IsPlainLoopback`] for the handlers.
pub(super) async fn find(
    State(cookies): State<Arc<SessionCookies>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_plain = is_plain_loopback(cookies.public_url.as_ref(), &request);
    request.extensions_mut().insert(IsPlainLoopback(is_plain));
    let layer = if is_plain { &cookies.loopback } else { &cookies.secure };
    match layer.layer(next).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Whether the request has a session's cookie, whether or not the session still exists.
pub(crate) fn has_cookie(parts: &Parts) -> bool {
    let is_plain = matches!(parts.extensions.get(), Some(IsPlainLoopback(true)));
    let name = if is_plain { LOOPBACK_COOKIE } else { COOKIE };
    cookie(&parts.headers, name).is_some()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Login {
    user_id: String,
    /// The user's session version at sign-in. A later version ends the session.
    session_version: i64,
    /// In milliseconds since 1970-01-01 UTC, like `renewed_at`.
    began_at: i64,
    renewed_at: i64,
    #[serde(default = "lifetime_of_earlier_releases")]
    lifetime_s: u32,
}

fn lifetime_of_earlier_releases() -> u32 {
    LIFETIME_S
}

impl Login {
    fn has_ended(&self, user: &User, now: Timestamp) -> bool {
        let end = Timestamp::from_unix_ms(self.began_at).plus_seconds(self.lifetime_s);
        !user.is_active || user.session_version != self.session_version || end <= now
    }

    fn is_due_for_renewal(&self, now: Timestamp) -> bool {
        Timestamp::from_unix_ms(self.renewed_at).plus_seconds(RENEWAL_S) <= now
    }
}

/// Signs the user in with a password or a link.
pub(crate) async fn begin(session: &Session, user: &User, now: Timestamp) -> Result<(), ApiError> {
    begin_for(session, user, now, LIFETIME_S).await
}

/// Signs the user in with a provider.
pub(crate) async fn begin_with_provider(
    session: &Session,
    user: &User,
    now: Timestamp,
) -> Result<(), ApiError> {
    begin_for(session, user, now, LIFETIME_WITH_PROVIDER_S).await
}

/// Begins a session under a new id, so that an id from before sign-in is useless afterwards.
async fn begin_for(session: &Session, user: &User, now: Timestamp, lifetime_s: u32) -> Result<(), ApiError> {
    let login = Login {
        user_id: user.id.clone(),
        session_version: user.session_version,
        began_at: now.unix_ms(),
        renewed_at: now.unix_ms(),
        lifetime_s,
    };
    session.cycle_id().await?;
    session.insert(LOGIN, login).await?;
    Ok(())
}

/// The actor of a request with a user's session.
pub(crate) fn actor(visitor: Actor, session: &Session, user: &User) -> Actor {
    let session = session
        .id()
        .map(|id| ActorSession { id_digest: sessions::id_digest(&id), version: user.session_version });
    Actor { session, ..user.acting(visitor) }
}

/// Ends the session, in the response and in the database.
pub(crate) async fn end(session: &Session, store: &Store, by: Actor) -> Result<(), ApiError> {
    let user = user(session, store, Timestamp::now()).await?;
    session.flush().await?;
    if let Some(user) = user {
        accounts::signed_out(store, &user.acting(by)).await?;
    }
    Ok(())
}

/// The session's user, if the session is still valid.
pub(crate) async fn user(session: &Session, store: &Store, now: Timestamp) -> Result<Option<User>, ApiError> {
    let Some(mut login) = session.get::<Login>(LOGIN).await? else { return Ok(None) };
    let user = accounts::find(store, &login.user_id).await?;
    let Some(user) = user.filter(|user| !login.has_ended(user, now)) else {
        session.flush().await?;
        return Ok(None);
    };
    if login.is_due_for_renewal(now) {
        login.renewed_at = now.unix_ms();
        session.insert(LOGIN, login).await?;
    }
    Ok(Some(user))
}

#[cfg(test)]
mod tests {
    use protocol::ScopeSet;

    use super::*;
    use crate::accounts::passwords::PasswordHash;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    fn a_user() -> User {
        User {
            id: "u".into(),
            kind: accounts::UserKind::Person,
            email: "u@example.com".into(),
            permissions: ScopeSet::default(),
            is_admin: false,
            is_active: true,
            created_at: Timestamp::from_unix_ms(0),
            has_password: false,
            has_identity: false,
            password_hash: PasswordHash::default(),
            is_password_from_token: false,
            session_version: 3,
        }
    }

    fn a_login() -> Login {
        Login { user_id: "u".into(), session_version: 3, began_at: 0, renewed_at: 0, lifetime_s: LIFETIME_S }
    }

    #[test]
    fn a_session_ends_30_days_after_the_login_however_much_it_is_used() {
        let login = Login { renewed_at: 29 * DAY_MS, ..a_login() };
        assert!(!login.has_ended(&a_user(), Timestamp::from_unix_ms(30 * DAY_MS - 1)));
        assert!(login.has_ended(&a_user(), Timestamp::from_unix_ms(30 * DAY_MS)));
        let login = Login { lifetime_s: LIFETIME_WITH_PROVIDER_S, ..a_login() };
        assert!(!login.has_ended(&a_user(), Timestamp::from_unix_ms(DAY_MS / 2 - 1)));
        assert!(login.has_ended(&a_user(), Timestamp::from_unix_ms(DAY_MS / 2)));
    }

    #[test]
    fn a_session_of_an_earlier_version_or_of_a_disabled_user_has_ended() {
        let now = Timestamp::from_unix_ms(1);
        assert!(a_login().has_ended(&User { session_version: 4, ..a_user() }, now));
        assert!(a_login().has_ended(&User { is_active: false, ..a_user() }, now));
    }

    #[test]
    fn a_session_in_use_is_renewed_once_a_day() {
        assert!(!a_login().is_due_for_renewal(Timestamp::from_unix_ms(DAY_MS - 1)));
        assert!(a_login().is_due_for_renewal(Timestamp::from_unix_ms(DAY_MS)));
    }
}
