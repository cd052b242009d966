//! Management tokens: the credentials of automation, for the keys of all users or of some.

use protocol::{KeyDigest, mask};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::AnyConnection;
use utoipa::ToSchema;

use super::access::Role;
use super::authority::{self, AuthorityError};
use super::sql::{links, tokens, users};
use super::token::check;
pub use super::token::{ManagementToken, NewTokenView, Refusal, TOKEN_PREFIX, TokenValue};
use super::user::User;
pub use super::verb::{Verb, Verbs};
use crate::audit::refusals::{self, Refusals};
use crate::audit::{self, Action, Actor, ActorKind, Event};
use crate::db;
use crate::db::Database;
use crate::idempotency::{RepeatableRequest, RepetitionError};
use crate::label::Label;
use crate::random::{self, RandomError};
use crate::time::{Timestamp, monotonic_now};
use crate::validation::FieldError;

/// The kind of this token in the audit log.
pub(crate) const KIND: &str = "management_token";

/// The fields of a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The name that its creator gave it.
    pub label: Label,
    /// The users whose keys it manages; `None` for all that are not admins.
    pub user_ids: Option<Vec<String>>,
    /// What it can do to them.
    pub can: Verbs,
    /// The expiry, if it has one.
    pub expires_at: Option<Timestamp>,
}

/// Why a token could not be created or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A field is invalid.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The caller has lost its rights since the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// There is no such token.
    #[error("there is no such management token")]
    NotFound,
    /// The request repeats an earlier one with other content.
    #[error(transparent)]
    Repetition(#[from] RepetitionError),
    /// The system provided no random numbers.
    #[error("cannot get random numbers from the system for a new token: {0}")]
    Randomness(#[from] RandomError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// Creates a token, and returns it with its value.
///
/// # Errors
/// A named user does not exist, the creator is no longer an admin, or creating the token failed.
pub async fn create(
    database: &Database,
    by: &Actor,
    new: NewToken,
    now: Timestamp,
) -> Result<(ManagementToken, TokenValue), TokenError> {
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    let made = insert_new(write.connection(), by, new, now).await?;
    write.commit().await?;
    Ok(made)
}

/// Like [`create`], but a repetition of `request` returns the token without its value.
///
/// # Errors
/// Those of [`create`], and the request repeats an earlier one with other content, or its token was revoked.
pub async fn create_once(
    database: &Database,
    by: &Actor,
    new: NewToken,
    now: Timestamp,
    request: Option<&RepeatableRequest>,
) -> Result<(ManagementToken, Option<TokenValue>), TokenError> {
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    if let Some(request) = request
        && let Some(id) = request.made(write.connection()).await?
    {
        let token = tokens::find(write.connection(), &id).await?.ok_or(TokenError::NotFound)?;
        write.rollback().await?;
        return Ok((token, None));
    }
    let (token, value) = insert_new(write.connection(), by, new, now).await?;
    if let Some(request) = request {
        request.record(write.connection(), &token.id).await?;
    }
    write.commit().await?;
    Ok((token, Some(value)))
}

async fn insert_new(
    connection: &mut AnyConnection,
    by: &Actor,
    new: NewToken,
    now: Timestamp,
) -> Result<(ManagementToken, TokenValue), TokenError> {
    let value = TokenValue::from_entropy(random::bytes()?);
    let token = ManagementToken {
        id: random::ordered_uuid().to_string(),
        label: new.label.into(),
        mask_value: mask(value.reveal()),
        user_ids: new.user_ids,
        can: new.can,
        created_at: now,
        created_by: by.name.clone(),
        created_by_id: by.id.clone().filter(|_| by.kind == ActorKind::User),
        expires_at: new.expires_at,
        last_used_at: None,
        ended_at: None,
    };
    if let Some(stranger) = tokens::insert(&mut *connection, &token, value.digest()).await? {
        return Err(
            FieldError::input("user_ids", format!("There is no user with this id: {stranger}")).into()
        );
    }
    let users = addresses(&mut *connection, &token).await?;
    let detail = json!({ "users": users, "can": token.can, "expires_at": token.expires_at });
    let subject = Some((token.id.as_str(), token.label.as_str()));
    let event = Event { action: Action::TokenCreated, user_id: None, subject, detail: &detail };
    audit::record(connection, by, event).await?;
    Ok((token, value))
}

/// The addresses of the users whose keys a token manages; `None` for all.
async fn addresses(
    connection: &mut AnyConnection,
    token: &ManagementToken,
) -> db::Result<Option<Vec<String>>> {
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
    Ok(tokens::list(database.pool()).await?)
}

/// Removes a token and the one-time links that it created.
///
/// # Errors
/// There is none with that id, or the database failed.
pub async fn revoke(database: &Database, by: &Actor, id: &str) -> Result<ManagementToken, TokenError> {
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    let token = tokens::find(write.connection(), id).await?.ok_or(TokenError::NotFound)?;
    remove(write.connection(), by, &token, &Value::Null).await?;
    write.commit().await?;
    Ok(token)
}

/// The tokens whose values have these digests, expired or not: the digest and the token's id. Ended tokens are left out.
pub(crate) async fn with_digests(
    database: &Database,
    digests: &[KeyDigest],
) -> db::Result<Vec<(KeyDigest, String)>> {
    tokens::with_digests(database.pool(), digests).await
}

/// Removes a token whose value leaked, and the one-time links that it created. Returns whether it worked until now.
pub(crate) async fn revoke_leaked(
    database: &Database,
    by: &Actor,
    id: &str,
    source: &str,
    now: Timestamp,
) -> db::Result<bool> {
    let mut write = database.begin_write().await?;
    let Some(token) = tokens::find(write.connection(), id).await? else { return Ok(false) };
    remove(write.connection(), by, &token, &json!({ "leaked": true, "source": source })).await?;
    write.commit().await?;
    Ok(check(Some(token), now).is_ok())
}

async fn remove(
    connection: &mut AnyConnection,
    by: &Actor,
    token: &ManagementToken,
    detail: &Value,
) -> db::Result<()> {
    tokens::delete(&mut *connection, &token.id).await?;
    links::remove_made_by(&mut *connection, &token.id).await?;
    let subject = Some((token.id.as_str(), token.label.as_str()));
    let event = Event { action: Action::TokenRevoked, user_id: None, subject, detail };
    audit::record(connection, by, event).await
}

/// Why a token ends without being revoked. Each reason concerns one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The user, the admin that created it, was disabled.
    CreatorDisabled,
    /// The user, the admin that created it, was demoted.
    CreatorDemoted,
    /// The user, the admin that created it, was deleted.
    CreatorDeleted,
    /// The user, a member that the token names, was promoted to admin.
    NamedPromoted,
    /// The user, the last one that the token names, was deleted.
    NamedDeleted,
}

impl End {
    /// As the audit log says it.
    fn because(self) -> &'static str {
        match self {
            End::CreatorDisabled => "the admin that created it was disabled",
            End::CreatorDemoted => "the admin that created it was demoted",
            End::CreatorDeleted => "the admin that created it was deleted",
            End::NamedPromoted => "one of its users was promoted to admin",
            End::NamedDeleted => "the last of its users was deleted",
        }
    }
}

/// A token that ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EndedToken {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
}

/// The most tokens that [`ended_note`] names. The note becomes part of an address, whose length proxies limit.
const MAX_NAMED: usize = 10;

/// A sentence about the tokens that ended, if any did.
pub(crate) fn ended_note(tokens: &[EndedToken]) -> Option<String> {
    let labels: Vec<_> = tokens.iter().take(MAX_NAMED).map(|token| token.label.as_str()).collect();
    let others = match tokens.len() - labels.len() {
        0 => String::new(),
        others => format!(", and {others} more"),
    };
    (!labels.is_empty())
        .then(|| format!("These management tokens have ended: {}{others}.", labels.join(", ")))
}

/// Ends the tokens that a reason concerns, and the one-time links that they created. Returns the tokens.
pub(crate) async fn end(
    connection: &mut AnyConnection,
    by: &Actor,
    user: &User,
    reason: End,
) -> db::Result<Vec<EndedToken>> {
    let tokens = match reason {
        End::CreatorDisabled | End::CreatorDemoted | End::CreatorDeleted => {
            tokens::made_by(&mut *connection, &user.id).await?
        }
        End::NamedPromoted => tokens::naming(&mut *connection, &user.id).await?,
        End::NamedDeleted => tokens::naming_only(&mut *connection, &user.id).await?,
    };
    let detail = json!({ "because": reason.because() });
    for token in &tokens {
        tokens::end(&mut *connection, &token.id).await?;
        links::remove_made_by(&mut *connection, &token.id).await?;
        let subject = Some((token.id.as_str(), token.label.as_str()));
        let event = Event { action: Action::TokenEnded, user_id: Some(&user.id), subject, detail: &detail };
        audit::record(&mut *connection, by, event).await?;
    }
    Ok(tokens.into_iter().map(|token| EndedToken { id: token.id, label: token.label }).collect())
}

impl Refusal {
    /// Records in the audit log that a request used the token.
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

/// Records in audit log and log that a token was refused: once a minute for each token, or for each IP address if the token is
/// unknown.
pub(crate) async fn record_refusal(
    database: &Database,
    refusals: &Refusals,
    by: &Actor,
    kind: &'static str,
    because: &'static str,
    subject: Option<(&str, &str)>,
) -> db::Result<()> {
    let address = by.address.map(|address| address.to_string()).unwrap_or_default();
    let same = subject.map_or(&*address, |(id, _)| id);
    let Some(left_out) = refusals.admit((kind, because), same, monotonic_now()) else { return Ok(()) };
    tracing::info!(kind, because, address, "a token was refused");
    let event = Event { action: Action::TokenRefused, user_id: None, subject, detail: &Value::Null };
    let detail = [("kind", kind), ("because", because)].map(|(name, text)| (name.to_owned(), text.into()));
    refusals::record(database, by, event, detail.into_iter().collect(), left_out).await
}

/// The token with this value, or why it is refused. Records its use once an hour.
///
/// # Errors
/// The database failed.
pub async fn authenticate(
    database: &Database,
    value: &TokenValue,
    now: Timestamp,
) -> Result<Result<ManagementToken, Refusal>, TokenError> {
    let token = tokens::find_by_digest(database.pool(), value.digest()).await?;
    let token = match check(token, now) {
        Ok(token) => token,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if token.last_used_at.is_none_or(|last| last.plus_seconds(60 * 60) <= now) {
        let mut write = database.begin_write().await?;
        tokens::set_last_used(write.connection(), &token.id, now).await?;
        write.commit().await?;
    }
    Ok(Ok(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn the_use_of_a_token_is_written_down_once_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let database = testing::store(&folder).await;
        let (by, now) = (Actor::command_line("root".to_owned()), Timestamp::now());
        let new = NewToken {
            label: "ci".parse().unwrap(),
            user_ids: None,
            can: Verbs::default(),
            expires_at: None,
        };
        let (_, value) = create(&database, &by, new, now).await.unwrap();
        for (used_after_s, written_after_s) in [(0, 0), (3_599, 0), (3_600, 3_600), (7_199, 3_600)] {
            let used_at = now.plus_seconds(used_after_s);
            authenticate(&database, &value, used_at).await.unwrap().unwrap();
            let last_used_at = list(&database).await.unwrap()[0].last_used_at;
            assert_eq!(last_used_at, Some(now.plus_seconds(written_after_s)), "{used_after_s} s");
        }
    }

    #[test]
    fn a_note_names_ten_ended_tokens_at_most() {
        let tokens = |count: usize| -> Vec<_> {
            (0..count).map(|n| EndedToken { id: String::new(), label: format!("t{n}") }).collect()
        };
        let note = |count| ended_note(&tokens(count));
        assert_eq!(note(0), None);
        assert_eq!(note(1).unwrap(), "These management tokens have ended: t0.");
        let ten = "These management tokens have ended: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9";
        assert_eq!(note(10).unwrap(), format!("{ten}."));
        assert_eq!(note(12).unwrap(), format!("{ten}, and 2 more."));
    }
}
