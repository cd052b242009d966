//! What a test reads and writes behind the service's back.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use crate::support::TestApp;
use crate::support::storage::Storage;

impl TestApp {
    pub(crate) async fn database(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&self.site.storage.url()).await.unwrap()
    }

    /// Changes rows behind the service's back, as the passing of time would.
    pub(crate) async fn alter(&self, update: impl Into<String>) {
        let query = sqlx::query(AssertSqlSafe(update.into()));
        assert_ne!(query.execute(&mut self.database().await).await.unwrap().rows_affected(), 0);
    }

    /// Breaks the database: changes data that no row shows.
    pub(crate) async fn alter_tables(&self, statements: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(&mut self.database().await).await.unwrap();
    }

    /// Keeps everybody else from writing until it is dropped.
    pub(crate) async fn lock(&self) -> AnyConnection {
        let mut connection = self.database().await;
        let begin = match *self.site.storage {
            Storage::File(_) => "BEGIN IMMEDIATE",
            _ => "BEGIN; LOCK TABLE sessions IN EXCLUSIVE MODE",
        };
        sqlx::raw_sql(begin).execute(&mut connection).await.unwrap();
        connection
    }

    /// What the database answers to a question for a number.
    pub(crate) async fn number(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(&mut self.database().await).await.unwrap()
    }

    /// What the database answers to a question for a text.
    pub(crate) async fn text(&self, question: impl Into<String>) -> String {
        let query = sqlx::query_scalar(AssertSqlSafe(question.into()));
        query.fetch_one(&mut self.database().await).await.unwrap()
    }

    /// Waits until a condition, selected alone, is true in the database.
    pub(crate) async fn until(&self, condition: &'static str) {
        // A truth value is a number in SQLite, and in PostgreSQL it is not.
        let question = format!("WITH it (holds) AS ({condition}) SELECT COUNT(*) FROM it WHERE holds");
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut database = self.database().await;
        let mut holds = async || -> i64 {
            sqlx::query_scalar(AssertSqlSafe(question.clone())).fetch_one(&mut database).await.unwrap()
        };
        while holds().await == 0 {
            assert!(Instant::now() < deadline, "{condition}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
