//! Management tokens: what automation authenticates with, for the keys of all users or of some.

use std::time::Instant;

use protocol::{KeyDigest, mask, secret_from_entropy};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::AnyConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::User;
use crate::audit::refusals::{self, Refusals};
use crate::audit::{self, Action, Actor, ActorKind, Event};
use crate::authority::{self, AuthorityError, Role};
use crate::clock::Timestamp;
use crate::invalid::Invalid;
use crate::keys::Owner;
use crate::store::{Database, links, management_tokens as store, users};

/// What the audit log calls such a token among the kinds of tokens.
pub(crate) const KIND: &str = "management_token";

mod verb;

pub use verb::{Verb, Verbs};

/// What every management token begins with.
pub const TOKEN_PREFIX: &str = "ekm_";

/// Whose keys a token manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of every user who is no admin, and these users' accounts too.
    All,
    /// Those of the users with these ids.
    Users(Vec<String>),
}

impl Reach {
    /// The keys that it reaches.
    pub fn owner(&self) -> Owner<'_> {
        match self {
            Reach::All => Owner::Members,
            Reach::Users(ids) => Owner::Users(ids),
        }
    }
}

/// A management token as it is kept: everything but its value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ManagementToken {
    /// Opaque and never reused.
    pub id: String,
    /// Somebody's own words for it.
    pub label: String,
    /// What it is recognised by.
    pub mask_value: String,
    /// The ids of the users whose keys it manages; `null` for all who are no admins.
    #[schema(required)]
    pub user_ids: Option<Vec<String>>,
    /// What it can do to them.
    #[schema(value_type = Vec<Verb>)]
    pub can: Verbs,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it: the address of an admin, as it was then, or the name of the command line's user.
    pub created_by: String,
    /// The id of the admin who made it; `None` for the command line.
    #[serde(skip)]
    pub(crate) created_by_id: Option<String>,
    /// From when on it is refused; `null` for never.
    #[schema(required)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    #[schema(required)]
    pub last_used_at: Option<Timestamp>,
    /// When it ended because the admin who made it was disabled or is no longer an admin, or a user whose keys it managed
    /// was made an admin; `null` if it did not.
    #[schema(required)]
    pub ended_at: Option<Timestamp>,
}

impl ManagementToken {
    /// Whose keys it manages.
    pub fn reach(&self) -> Reach {
        match &self.user_ids {
            None => Reach::All,
            Some(ids) => Reach::Users(ids.clone()),
        }
    }

    /// The token as the audit log names it. `from` is the request.
    #[must_use]
    pub fn actor(&self, from: Actor) -> Actor {
        Actor {
            kind: ActorKind::ManagementToken,
            id: Some(self.id.clone()),
            name: self.label.clone(),
            ..from
        }
    }
}

/// The JSON form of a token that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = NewManagementToken)]
pub struct NewTokenView<'a> {
    #[serde(flatten)]
    token: &'a ManagementToken,
    /// The token itself: shown this once.
    value: &'a str,
}

impl ManagementToken {
    /// The token's JSON form, with the value that it was given just now.
    pub fn with_value<'a>(&'a self, value: &'a TokenValue) -> NewTokenView<'a> {
        NewTokenView { token: self, value: value.reveal() }
    }
}

/// What a new token is made of.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// See [`crate::key_fields::label`].
    pub label: String,
    /// Whose keys it manages.
    pub reach: Reach,
    /// What it can do to them.
    pub can: Verbs,
    /// See [`crate::key_fields::expires_at`].
    pub expires_at: Option<Timestamp>,
}

/// Why a token could not be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A field holds what it may not hold.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller has lost its rights since the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// There is no such token.
    #[error("there is no such management token")]
    NotFound,
    /// The system gave no randomness.
    #[error("no randomness for a new token: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// A token's value, to be shown once. It has no `Debug`.
pub struct TokenValue(String);

impl TokenValue {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Makes a token, and returns its value too.
///
/// # Errors
/// A user is named that does not exist, the maker is no longer an admin, or a failure.
pub async fn create(
    database: &Database,
    by: &Actor,
    new: NewToken,
    now: Timestamp,
) -> Result<(ManagementToken, TokenValue), TokenError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    let value = secret_from_entropy(TOKEN_PREFIX, entropy);
    let token = ManagementToken {
        id: Uuid::now_v7().to_string(),
        label: new.label,
        mask_value: mask(&value),
        user_ids: match new.reach {
            Reach::All => None,
            Reach::Users(ids) => Some(ids),
        },
        can: new.can,
        created_at: now,
        created_by: by.name.clone(),
        created_by_id: by.id.clone().filter(|_| by.kind == ActorKind::User),
        expires_at: new.expires_at,
        last_used_at: None,
        ended_at: None,
    };
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    if let Some(stranger) = store::insert(write.connection(), &token, KeyDigest::of_value(&value)).await? {
        return Err(Invalid::input("user_ids", format!("There is no user with this id: {stranger}")).into());
    }
    let users = addresses(write.connection(), &token).await?;
    let detail = json!({ "users": users, "can": token.can, "expires_at": token.expires_at });
    let subject = Some((token.id.as_str(), token.label.as_str()));
    let event = Event { action: Action::TokenCreated, user_id: None, subject, detail: &detail };
    audit::record(write.connection(), by, event).await?;
    write.commit().await?;
    Ok((token, TokenValue(value)))
}

/// The addresses of the users whose keys a token manages; `None` for all.
async fn addresses(
    connection: &mut AnyConnection,
    token: &ManagementToken,
) -> sqlx::Result<Option<Vec<String>>> {
    let Some(ids) = &token.user_ids else { return Ok(None) };
    let mut addresses = Vec::with_capacity(ids.len());
    for id in ids {
        addresses.extend(users::find(&mut *connection, id).await?.map(|user| user.email));
    }
    Ok(Some(addresses))
}

/// All tokens, newest first.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database) -> Result<Vec<ManagementToken>, TokenError> {
    Ok(store::list(database.pool()).await?)
}

/// Ends a token and the one-time links that it made, at once and for good.
///
/// # Errors
/// There is none with that id, or the database failed.
pub async fn revoke(database: &Database, by: &Actor, id: &str) -> Result<ManagementToken, TokenError> {
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    let token = store::find(write.connection(), id).await?.ok_or(TokenError::NotFound)?;
    store::delete(write.connection(), id).await?;
    links::remove_made_by(write.connection(), id).await?;
    let subject = Some((token.id.as_str(), token.label.as_str()));
    let event =
        Event { action: Action::TokenRevoked, user_id: None, subject, detail: &serde_json::Value::Null };
    audit::record(write.connection(), by, event).await?;
    write.commit().await?;
    Ok(token)
}

/// Why a token ends that nobody revokes. Each reason is about one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The user, an admin who made it, was disabled.
    MakerDisabled,
    /// The user, an admin who made it, was made a member.
    MakerDemoted,
    /// The user, a member whom it names, was made an admin.
    NamedMadeAdmin,
}

impl End {
    /// As the audit log says it.
    fn because(self) -> &'static str {
        match self {
            End::MakerDisabled => "the admin who made it was disabled",
            End::MakerDemoted => "the admin who made it is no longer an admin",
            End::NamedMadeAdmin => "a user whose keys it managed was made an admin",
        }
    }
}

/// Ends the tokens that a reason about a user concerns, and the one-time links that those made. Returns them.
pub(crate) async fn end(
    connection: &mut AnyConnection,
    by: &Actor,
    user: &User,
    reason: End,
) -> sqlx::Result<Vec<ManagementToken>> {
    let tokens = match reason {
        End::MakerDisabled | End::MakerDemoted => store::made_by(&mut *connection, &user.id).await?,
        End::NamedMadeAdmin => store::naming(&mut *connection, &user.id).await?,
    };
    let detail = json!({ "because": reason.because() });
    for token in &tokens {
        store::end(&mut *connection, &token.id).await?;
        links::remove_made_by(&mut *connection, &token.id).await?;
        let subject = Some((token.id.as_str(), token.label.as_str()));
        let event = Event { action: Action::TokenEnded, user_id: Some(&user.id), subject, detail: &detail };
        audit::record(&mut *connection, by, event).await?;
    }
    Ok(tokens)
}

/// Ends the tokens that a replica of an earlier release left working: such a one may run beside this one during an upgrade.
pub(crate) async fn end_those_left(connection: &mut AnyConnection) -> sqlx::Result<()> {
    store::attribute(&mut *connection).await?;
    for maker in users::makers_without_rights(&mut *connection).await? {
        let reason = if maker.is_active { End::MakerDemoted } else { End::MakerDisabled };
        end(&mut *connection, &Actor::service(), &maker, reason).await?;
    }
    Ok(())
}

/// Why a token is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no token, or was revoked.
    #[error("The management token is invalid: it was mistyped or revoked.")]
    Unknown,
    /// Its time has run out.
    #[error("The management token has expired.")]
    Expired(Box<ManagementToken>),
    /// Its maker is no longer an active admin, or a member whom it names became an admin.
    #[error(
        "The management token has ended: the admin who made it was disabled or is no longer an admin, or a user whose \
         keys it managed was made an admin."
    )]
    Ended(Box<ManagementToken>),
}

impl Refusal {
    /// Writes down that a request came with the token.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn record(
        &self,
        database: &Database,
        refusals: &Refusals,
        from: &Actor,
    ) -> Result<(), TokenError> {
        let (because, token) = match self {
            Refusal::Unknown => ("unknown", None),
            Refusal::Expired(token) => ("expired", Some(token)),
            Refusal::Ended(token) => ("ended", Some(token)),
        };
        let subject = token.map(|token| (token.id.as_str(), token.label.as_str()));
        Ok(record_refusal(database, refusals, from, KIND, because, subject).await?)
    }
}

/// Writes down that a token of some kind was refused: once a minute for the same token, or the same address if it is not
/// known which token it is.
pub(crate) async fn record_refusal(
    database: &Database,
    refusals: &Refusals,
    by: &Actor,
    kind: &'static str,
    because: &'static str,
    subject: Option<(&str, &str)>,
) -> sqlx::Result<()> {
    let address = by.address.map(|address| address.to_string()).unwrap_or_default();
    let same = subject.map_or(&*address, |(id, _)| id);
    let Some(left_out) = refusals.admit((kind, because), same, Instant::now()) else { return Ok(()) };
    let event = Event { action: Action::TokenRefused, user_id: None, subject, detail: &Value::Null };
    let detail = [("kind", kind), ("because", because)].map(|(name, text)| (name.to_owned(), text.into()));
    refusals::record(database, by, event, detail.into_iter().collect(), left_out).await
}

/// The token that was found, if it works.
pub(crate) fn check(token: Option<ManagementToken>, now: Timestamp) -> Result<ManagementToken, Refusal> {
    match token {
        None => Err(Refusal::Unknown),
        Some(token) if token.ended_at.is_some() => Err(Refusal::Ended(token.into())),
        Some(token) if token.expires_at.is_some_and(|end| end <= now) => Err(Refusal::Expired(token.into())),
        Some(token) => Ok(token),
    }
}

/// The token with that value, or why it is refused. Its use is written down once an hour.
///
/// # Errors
/// The database failed.
pub async fn authenticate(
    database: &Database,
    value: &str,
    now: Timestamp,
) -> Result<Result<ManagementToken, Refusal>, TokenError> {
    let token = store::find_by_digest(database.pool(), KeyDigest::of_value(value)).await?;
    let token = match check(token, now) {
        Ok(token) => token,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if token.last_used_at.is_none_or(|last| last.plus_seconds(60 * 60) <= now) {
        let mut write = database.begin_write().await?;
        store::set_last_used(write.connection(), &token.id, now).await?;
        write.commit().await?;
    }
    Ok(Ok(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[tokio::test]
    async fn the_use_of_a_token_is_written_down_once_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let database = testing::database(&folder).await;
        let (by, now) = (Actor::command_line(), Timestamp::now());
        let new = NewToken { label: "ci".into(), reach: Reach::All, can: Verbs::default(), expires_at: None };
        let (_, value) = create(&database, &by, new, now).await.unwrap();
        for (used_after_s, written_after_s) in [(0, 0), (3_599, 0), (3_600, 3_600), (7_199, 3_600)] {
            let used_at = now.plus_seconds(used_after_s);
            authenticate(&database, value.reveal(), used_at).await.unwrap().unwrap();
            let last_used_at = list(&database).await.unwrap()[0].last_used_at;
            assert_eq!(last_used_at, Some(now.plus_seconds(written_after_s)), "{used_after_s} s");
        }
    }
}
