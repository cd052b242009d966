//! Browser sessions in the database, for `tower-sessions`.

use async_trait::async_trait;
use sqlx::{AnyExecutor, Row};
use time::OffsetDateTime;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};

use crate::audit::SessionDigest;
use crate::db;
use crate::revocation::Store;
use crate::time::Timestamp;

/// Stores sessions under the SHA-256 of their id, so that a reader of the database cannot use them.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(pub(crate) Store);

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let mut write = self.0.begin_write().await.map_err(backend)?;
        let delete = "DELETE FROM sessions WHERE expires_at <= $1";
        sqlx::query(delete).bind(Timestamp::now()).execute(write.connection()).await.map_err(backend)?;

        let insert = "INSERT INTO sessions (id_digest, data, expires_at) VALUES ($1, $2, $3)";
        sqlx::query(insert)
            .bind(id_digest(&record.id).to_hex())
            .bind(encode(record)?)
            .bind(expiry(record))
            .execute(write.connection())
            .await
            .map_err(backend)?;
        write.commit().await.map_err(backend)
    }

    /// Only updates: a session that has ended meanwhile stays ended.
    async fn save(&self, record: &Record) -> Result<()> {
        let mut write = self.0.begin_write().await.map_err(backend)?;
        let update = "UPDATE sessions SET data = $1, expires_at = $2 WHERE id_digest = $3";
        sqlx::query(update)
            .bind(encode(record)?)
            .bind(expiry(record))
            .bind(id_digest(&record.id).to_hex())
            .execute(write.connection())
            .await
            .map_err(backend)?;
        write.commit().await.map_err(backend)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let select = "SELECT data, expires_at FROM sessions WHERE id_digest = $1 AND expires_at > $2";
        let row = sqlx::query(select)
            .bind(id_digest(id).to_hex())
            .bind(Timestamp::now())
            .fetch_optional(self.0.pool())
            .await
            .map_err(backend)?;
        let Some(row) = row else { return Ok(None) };
        let data: String = row.try_get("data").map_err(backend)?;
        let expires_at: Timestamp = row.try_get("expires_at").map_err(backend)?;
        Ok(Some(Record {
            id: *id,
            data: serde_json::from_str(&data).map_err(|error| Error::Decode(error.to_string()))?,
            expiry_date: OffsetDateTime::from_unix_timestamp_nanos(
                i128::from(expires_at.unix_ms()) * 1_000_000,
            )
            .map_err(|error| Error::Decode(error.to_string()))?,
        }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let mut write = self.0.begin_write().await.map_err(backend)?;
        let delete = "DELETE FROM sessions WHERE id_digest = $1";
        sqlx::query(delete)
            .bind(id_digest(id).to_hex())
            .execute(write.connection())
            .await
            .map_err(backend)?;
        write.commit().await.map_err(backend)
    }
}

/// Whether the session with this digest is stored and has not expired.
pub(crate) async fn is_stored(
    connection: impl AnyExecutor<'_>,
    id_digest: SessionDigest,
    now: Timestamp,
) -> db::Result<bool> {
    let select = "SELECT expires_at FROM sessions WHERE id_digest = $1 AND expires_at > $2";
    let query = sqlx::query(select).bind(id_digest.to_hex()).bind(now);
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// The digest under which a session is stored.
pub(crate) fn id_digest(id: &Id) -> SessionDigest {
    SessionDigest::of_id(&id.to_string())
}

fn encode(record: &Record) -> Result<String> {
    serde_json::to_string(&record.data).map_err(|error| Error::Encode(error.to_string()))
}

fn expiry(record: &Record) -> Timestamp {
    let ms = record.expiry_date.unix_timestamp_nanos() / 1_000_000;
    Timestamp::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn backend(error: impl Into<db::Error>) -> Error {
    Error::Backend(error.into().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_session_is_loaded_with_the_end_that_it_was_stored_with() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions(testing::store(&folder).await);
        let expiry_date = time::macros::datetime!(2099-01-31 12:00:00.007 UTC);
        let mut record = Record { id: Id(1), data: Default::default(), expiry_date };
        sessions.create(&mut record).await.unwrap();
        let loaded = sessions.load(&record.id).await.unwrap().unwrap();
        assert_eq!(loaded.expiry_date, expiry_date);
    }
}
