//! The caller of an API operation, and the caller's rights.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_sessions::Session;

use super::bearer::{BearerKind, bearer};
use super::client_address::ClientAddress;
use super::error::ApiError;
use super::request::ScopedFields;
use super::request_log::RequestId;
use super::session;
use super::state::AppState;
use crate::accounts::access::KeyAccess;
use crate::accounts::management_tokens::{self, ManagementToken, Refusal, TokenValue, Verb};
use crate::accounts::{AccountError, User};
use crate::audit::{Actor, ActorKind};
use crate::time::Timestamp;
use crate::validation::FieldError;

/// The origin of a request, before the caller is authenticated.
pub(crate) struct Visitor(pub(crate) Actor);

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, state).await?;
        let RequestId(request_id) = RequestId::from_request_parts(parts, state).await?;
        Ok(Visitor(Actor {
            kind: ActorKind::Visitor,
            address: Some(address),
            request_id: Some(request_id),
            ..Actor::service()
        }))
    }
}

/// A user with a session. A personal API key starts no session, because it could then create a stronger key.
pub(crate) struct SignedIn {
    pub(crate) user: User,
    pub(crate) by: Actor,
}

impl FromRequestParts<AppState> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Visitor(visitor) = Visitor::from_request_parts(parts, state).await?;
        let session = Session::from_request_parts(parts, state).await.map_err(|(status, _)| status)?;
        match session::user(&session, &state.store, Timestamp::now()).await? {
            Some(user) => Ok(SignedIn { by: session::actor(visitor, &session, &user), user }),
            None => Err(match parts.headers.get(header::AUTHORIZATION) {
                Some(credential) => ApiError::authentication_failed(wrong_kind_detail(credential)),
                None => ApiError::not_authenticated(),
            }),
        }
    }
}

/// Why a credential of another kind is refused where a session or a management token is required.
fn wrong_kind_detail(credential: &HeaderValue) -> &'static str {
    match bearer(credential.as_bytes()).map(BearerKind::of) {
        Some(BearerKind::PersonalApiKey) => {
            "This is a personal API key, which cannot manage keys. Sign in, or send a management token."
        }
        Some(BearerKind::ManagementToken) => {
            "This is a management token. Only a user who is signed in can do this."
        }
        Some(BearerKind::Other) => {
            "This is not a management token, which begins with ekm_. An edge token works only on the edge listener."
        }
        None => "Sign in, or send a management token: Authorization: Bearer ekm_…",
    }
}

/// Records in the audit log that a management token was refused: before the handler, or by the change itself if the token
/// ended in between.
pub(crate) async fn record_refusals(
    State(state): State<AppState>,
    Visitor(visitor): Visitor,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let mut response = next.run(request).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        refusal.record(&state.store, &state.refusals, &visitor).await?;
    }
    Ok(response)
}

/// The identity of an authenticated caller.
enum Identity {
    User(User),
    Token(Box<ManagementToken>),
}

impl Identity {
    /// Authenticates the request. Also returns the caller's name for the audit log.
    async fn of(parts: &mut Parts, state: &AppState) -> Result<(Self, Actor), ApiError> {
        let Visitor(visitor) = Visitor::from_request_parts(parts, state).await?;
        let credential = parts.headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        if let Some(value) = credential.and_then(TokenValue::presented) {
            let token = management_tokens::authenticate(&state.store, &value, Timestamp::now()).await?;
            let token = token?;
            let by = token.actor(visitor);
            return Ok((Identity::Token(token.into()), by));
        }
        let SignedIn { user, by } = SignedIn::from_request_parts(parts, state).await?;
        Ok((Identity::User(user), by))
    }
}

/// The verb that an operation requires of a management token. Each handler names it in the type of its caller, so that no
/// handler can omit it.
pub(crate) trait Needs: Send + Sync {
    /// `None` if it depends on the request's body. The handler then calls [`Admin::require`].
    const VERB: Option<Verb>;
}

/// See [`Verb::Read`].
pub(crate) struct Read;
/// See [`Verb::Revoke`].
pub(crate) struct Revoke;
/// See [`Verb::Create`].
pub(crate) struct Create;
/// The verb depends on the request's body.
pub(crate) struct AsTheBodySays;

impl Needs for Read {
    const VERB: Option<Verb> = Some(Verb::Read);
}
impl Needs for Revoke {
    const VERB: Option<Verb> = Some(Verb::Revoke);
}
impl Needs for Create {
    const VERB: Option<Verb> = Some(Verb::Create);
}
impl Needs for AsTheBodySays {
    const VERB: Option<Verb> = None;
}

/// A caller that manages keys: a user with a session, or automation with a management token.
pub(crate) struct Caller<N> {
    identity: Identity,
    pub(crate) by: Actor,
    needs: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<AppState> for Caller<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let (identity, by) = Identity::of(parts, state).await?;
        let caller = Caller { identity, by, needs: PhantomData };
        if let Some(verb) = N::VERB {
            caller.require(state, verb).await?;
        }
        Ok(caller)
    }
}

impl<N: Needs> Caller<N> {
    /// Refuses a token without the verb, and records the refusal in the audit log.
    async fn require(&self, state: &AppState, verb: Verb) -> Result<(), ApiError> {
        let Identity::Token(token) = &self.identity else { return Ok(()) };
        let can = &token.can;
        if can.permit(verb) {
            return Ok(());
        }
        let (id, label) = (self.by.id.as_deref().unwrap_or_default(), self.by.name.as_str());
        let because = match verb {
            Verb::Read => "cannot read",
            Verb::Revoke => "cannot revoke",
            Verb::Create => "cannot create",
        };
        let (store, refusals) = (&state.store, &state.refusals);
        let kind = management_tokens::KIND;
        management_tokens::record_refusal(store, refusals, &self.by, kind, because, Some((id, label)))
            .await?;
        let detail = format!("This management token cannot {}; it can {can}.", verb.as_str());
        Err(ApiError::permission_denied(&detail))
    }

    /// The keys that the caller may change, create and roll: the own ones, for admins also those of service accounts.
    pub(crate) fn manages(&self) -> KeyAccess<'_> {
        match &self.identity {
            Identity::User(user) if user.is_admin => KeyAccess::AdminAndServices(&user.id),
            Identity::User(user) => KeyAccess::User(&user.id),
            Identity::Token(token) => token.access(),
        }
    }

    /// The keys that the caller may see and delete. For an admin, these are all keys.
    pub(crate) fn oversees(&self) -> KeyAccess<'_> {
        match &self.identity {
            Identity::User(user) if user.is_admin => KeyAccess::Anyone,
            _ => self.manages(),
        }
    }

    /// The body, in which a management token has to name the owner of a key.
    pub(crate) fn naming_owner<T>(&self, fields: ScopedFields<T>) -> ScopedFields<T> {
        match &self.identity {
            Identity::User(_) => fields,
            Identity::Token(_) => fields.require("user_id"),
        }
    }

    /// The id of the user whose keys the request is about: the caller's own id in a session, the named id with a token.
    /// [`crate::keys`] checks, in the same transaction as the change, that the caller may manage this user's keys.
    pub(crate) fn user_id<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, ApiError> {
        match (&self.identity, named) {
            (Identity::User(user), None) => Ok(&user.id),
            (Identity::Token(_), None) => Err(FieldError::required("user_id").into()),
            (_, Some(id)) => Ok(id),
        }
    }
}

/// A caller that manages accounts: an admin with a session, or automation with a token for all users.
pub(crate) struct Admin<N> {
    caller: Caller<N>,
}

impl<N: Needs> FromRequestParts<AppState> for Admin<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        match &caller.identity {
            Identity::User(user) if user.is_admin => Ok(Admin { caller }),
            Identity::Token(token) if token.user_ids.is_none() => Ok(Admin { caller }),
            _ => Err(ApiError::permission_denied("You do not have permission to perform this action.")),
        }
    }
}

impl<N: Needs> Admin<N> {
    /// The caller's name in the audit log.
    pub(crate) fn by(&self) -> &Actor {
        &self.caller.by
    }

    /// Whether the caller is the user with this id.
    pub(crate) fn is_user(&self, id: &str) -> bool {
        matches!(&self.caller.identity, Identity::User(user) if user.id == id)
    }
}

impl Admin<AsTheBodySays> {
    /// Refuses a token without the verb.
    pub(crate) async fn require(&self, state: &AppState, verb: Verb) -> Result<(), ApiError> {
        self.caller.require(state, verb).await
    }
}

/// An admin with a session. Tokens are refused, because a token could otherwise create a token with more rights.
pub(crate) struct AdminInPerson {
    pub(crate) by: Actor,
}

impl FromRequestParts<AppState> for AdminInPerson {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Admin { caller } = Admin::<AsTheBodySays>::from_request_parts(parts, state).await?;
        match caller.identity {
            Identity::User(_) => Ok(AdminInPerson { by: caller.by }),
            Identity::Token(_) => Err(AccountError::InPerson.into()),
        }
    }
}
