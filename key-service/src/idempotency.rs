//! Requests that a client may repeat: the first one makes something, and a repetition finds it.
//!
//! The record is written in the transaction of the change, so a crash leaves both or neither. One transaction writes at a time,
//! so a repetition that arrives during the first request waits for it.

use const_format::formatcp;
use protocol::KeyDigest;
use sqlx::{AnyConnection, AnyExecutor};

use crate::audit::Actor;
use crate::db;
use crate::db::NOW_MS;

/// How long a repetition finds what the first request made, in milliseconds: a day.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// A request of one caller, by the key that the caller chose for it. The database has digests only.
#[derive(Clone, Debug)]
pub struct RepeatableRequest {
    digest: KeyDigest,
    fingerprint: KeyDigest,
}

/// Why the repetition of a request is refused, or cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum RepetitionError {
    /// The caller sent another request with the same key.
    #[error("This Idempotency-Key was used for another request. Use a new one for each request.")]
    OtherRequest,
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

impl RepeatableRequest {
    /// The request of a caller with the key that the caller chose. `content` is all that makes it another request.
    pub(crate) fn new(by: &Actor, key: &str, content: &str) -> Self {
        // Neither a kind nor an id has a line break.
        let caller = format!("{}\n{}", by.kind.as_str(), by.id.as_deref().unwrap_or_default());
        RepeatableRequest {
            digest: KeyDigest::of_value(&format!("{caller}\n{key}")),
            fingerprint: KeyDigest::of_value(content),
        }
    }

    /// The id of what the first request made, if this is a repetition.
    pub(crate) async fn made(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<Option<String>, RepetitionError> {
        let select = "SELECT fingerprint, subject_id FROM idempotency_keys WHERE digest = $1";
        let row = sqlx::query_as::<_, (String, String)>(select).bind(self.digest.to_hex());
        match row.fetch_optional(connection).await.map_err(db::Error::from)? {
            None => Ok(None),
            Some((fingerprint, subject_id)) if fingerprint == self.fingerprint.to_hex() => {
                Ok(Some(subject_id))
            }
            Some(_) => Err(RepetitionError::OtherRequest),
        }
    }

    /// Records what this request made, in the same transaction.
    pub(crate) async fn record(&self, connection: &mut AnyConnection, subject_id: &str) -> db::Result<()> {
        let insert = formatcp!(
            "INSERT INTO idempotency_keys (digest, fingerprint, subject_id, created_at) VALUES ($1, $2, $3, {NOW_MS})"
        );
        let query = sqlx::query(insert).bind(self.digest.to_hex()).bind(self.fingerprint.to_hex());
        query.bind(subject_id).execute(connection).await?;
        Ok(())
    }
}

/// Removes at most `at_most` records that are older than a day. Returns how many.
pub(crate) async fn prune(connection: impl AnyExecutor<'_>, at_most: i64) -> db::Result<u64> {
    let delete = formatcp!(
        "DELETE FROM idempotency_keys WHERE digest IN
        (SELECT digest FROM idempotency_keys WHERE created_at < {NOW_MS} - {KEPT_MS} ORDER BY created_at LIMIT $1)"
    );
    Ok(sqlx::query(delete).bind(at_most).execute(connection).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::ActorKind;
    use crate::testing;

    fn user(id: &str) -> Actor {
        Actor { kind: ActorKind::User, id: Some(id.to_owned()), ..Actor::service() }
    }

    #[tokio::test]
    async fn a_repetition_finds_what_was_made_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let mut connection = store.connection().await.unwrap();
        let request = RepeatableRequest::new(&user("ada"), "key", "POST /a {}");
        assert_eq!(request.made(&mut connection).await.unwrap(), None);
        request.record(&mut connection, "made").await.unwrap();
        assert_eq!(request.made(&mut connection).await.unwrap().as_deref(), Some("made"));

        let other = RepeatableRequest::new(&user("ada"), "key", "POST /b {}").made(&mut connection).await;
        assert!(matches!(other, Err(RepetitionError::OtherRequest)), "{other:?}");
        let token = Actor { kind: ActorKind::ManagementToken, ..user("ada") };
        for by in [user("eve"), token] {
            let found = RepeatableRequest::new(&by, "key", "POST /a {}").made(&mut connection).await;
            assert_eq!(found.unwrap(), None, "{by:?}");
        }

        for (age_ms, removed) in [(KEPT_MS - 60_000, 0), (120_000, 1)] {
            let update = "UPDATE idempotency_keys SET created_at = created_at - $1";
            sqlx::query(update).bind(age_ms).execute(&mut *connection).await.unwrap();
            assert_eq!(prune(&mut *connection, 10).await.unwrap(), removed);
        }
    }
}
