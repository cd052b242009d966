//! What a test reads and writes behind the service's back.

use std::time::{Duration, Instant};

use crate::support::Service;

impl Service {
    async fn sqlite(&self) -> sqlx::SqlitePool {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.site.database());
        sqlx::SqlitePool::connect_with(options).await.unwrap()
    }

    /// Changes rows behind the service's back, as the passing of time would.
    pub(crate) async fn alter(&self, update: &'static str) {
        assert_ne!(sqlx::query(update).execute(&self.sqlite().await).await.unwrap().rows_affected(), 0);
    }

    /// Breaks the database: changes what no row tells.
    pub(crate) async fn alter_tables(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.sqlite().await).await.unwrap();
    }

    /// Keeps everybody else from writing until it is dropped.
    pub(crate) async fn lock(&self) -> sqlx::Transaction<'static, sqlx::Sqlite> {
        self.sqlite().await.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    /// What the database answers to a question for a number.
    pub(crate) async fn number(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(&self.sqlite().await).await.unwrap()
    }

    /// What the database answers to a question for a text.
    pub(crate) async fn text(&self, question: &'static str) -> String {
        sqlx::query_scalar(question).fetch_one(&self.sqlite().await).await.unwrap()
    }

    /// Waits until the database answers 1 to a question.
    pub(crate) async fn until(&self, question: &'static str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.number(question).await != 1 {
            assert!(Instant::now() < deadline, "{question}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
