//! The production store: a database that two processes use, and events from outside.

use key_service::accounts::passwords::Passwords;
use key_service::accounts::{self, NewUser};
use key_service::audit::Actor;
use key_service::revocation::Store;
use key_service::time::Timestamp;
use key_service::transfer::backup;
use key_service::upkeep;
use protocol::ScopeSet;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;

use crate::clock;
use crate::model::LONGEST_MS;

/// The number of processes that use the database.
pub(crate) const PROCESSES: usize = 2;

/// The tables with the rows that a sequence leaves behind.
const LEFT_BEHIND: [&str; 11] = [
    "key_digests",
    "api_keys",
    "revoked_digests",
    "changes",
    "edge_leases",
    "audit_log",
    "webhook_deliveries",
    "one_time_links",
    "management_token_users",
    "management_tokens",
    "users",
];

/// The age from which a change is pruned, in milliseconds.
const OLD_MS: i64 = 60 * 60 * 1_000 + 1;

/// Makes PostgreSQL read the clock from a sequence, whose value all transactions read at once.
const POSTGRES_CLOCK: &str = "CREATE SEQUENCE IF NOT EXISTS test_clock MINVALUE 0";

/// A database that two processes have open.
pub(crate) struct TestStore {
    url: String,
    /// The folder of the SQLite file; `None` on PostgreSQL.
    folder: Option<TempDir>,
    databases: Vec<Store>,
    /// The announced lease length of each process, in milliseconds.
    pub(crate) lasts_ms: [u64; PROCESSES],
    /// The test's own connection.
    outside: AnyConnection,
    copies: u32,
}

impl TestStore {
    pub(crate) async fn on_sqlite() -> Self {
        clock::install();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("keys.db").display());
        Self::on(url, Some(folder)).await
    }

    pub(crate) async fn on_postgres(url: &str) -> Self {
        let mut store = Self::on(url.to_owned(), None).await;
        let read = format!("SELECT (last_value + {}) / 1000.0 FROM test_clock", clock::FRACTION_MS);
        store.execute(POSTGRES_CLOCK).await;
        store
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION unixepoch(TEXT) RETURNS DOUBLE PRECISION LANGUAGE SQL VOLATILE
                    AS 'SELECT CAST(({read}) AS DOUBLE PRECISION)'"
            ))
            .await;
        store
    }

    async fn on(url: String, folder: Option<TempDir>) -> Self {
        let first = Store::open(&url).await.unwrap();
        let outside = AnyConnection::connect(&url).await.unwrap();
        let mut store = TestStore {
            url,
            folder,
            databases: vec![first],
            lasts_ms: [LONGEST_MS; PROCESSES],
            outside,
            copies: 0,
        };
        store.open().await;
        store
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.is_sqlite() { "SQLite" } else { "PostgreSQL" }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.folder.is_some()
    }

    /// The database of one process.
    pub(crate) fn process(&self, number: usize) -> &Store {
        &self.databases[number]
    }

    /// Sets the database's clock.
    pub(crate) async fn set_clock(&mut self, now_ms: i64) {
        match self.is_sqlite() {
            true => clock::set(now_ms),
            false => self.execute(&format!("SELECT setval('test_clock', {now_ms})")).await,
        }
    }

    /// Runs a statement on the test's own connection.
    pub(crate) async fn execute(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.outside).await.unwrap();
    }

    /// The lease limit, in milliseconds.
    pub(crate) async fn lease_limit_ms(&mut self) -> u64 {
        let select = "SELECT lease_limit_ms FROM revision_log";
        let limit_ms: i64 = sqlx::query_scalar(select).fetch_one(&mut self.outside).await.unwrap();
        u64::try_from(limit_ms).unwrap()
    }

    /// The latest revision.
    pub(crate) async fn revision(&mut self) -> u64 {
        let select = "SELECT revision FROM revision_log";
        let revision: i64 = sqlx::query_scalar(select).fetch_one(&mut self.outside).await.unwrap();
        u64::try_from(revision).unwrap()
    }

    /// Removes what the earlier sequence left, creates two users and returns their ids.
    pub(crate) async fn clear(&mut self) -> Vec<String> {
        let deletes = LEFT_BEHIND.map(|table| format!("DELETE FROM {table};")).concat();
        let update = format!(
            "UPDATE revision_log SET lost_leases_until = 0, pruned_to = revision, longest_lease_ms = {LONGEST_MS},
                lease_limit_ms = {LONGEST_MS}, limited_at = 0"
        );
        self.execute(&format!("BEGIN; {deletes} {update}; COMMIT")).await;
        self.lasts_ms = [LONGEST_MS; PROCESSES];
        self.announce().await;
        vec![self.add_user(1).await, self.add_user(2).await]
    }

    /// Adds a user and returns the id.
    pub(crate) async fn add_user(&self, number: u32) -> String {
        let user = NewUser {
            email: format!("{number}@example.com").parse().unwrap(),
            password: None,
            permissions: ScopeSet::all(),
            is_admin: false,
        };
        let (by, now) = (Actor::service(), Timestamp::from_unix_ms(0));
        accounts::add(self.process(0), &by, &Passwords::default(), user, now).await.unwrap().id
    }

    /// Prunes the changes up to a revision, as if they were old.
    pub(crate) async fn prune(&mut self, process: usize, to: u64) {
        self.execute(&format!("UPDATE changes SET made_at = made_at - {OLD_MS} WHERE revision <= {to}"))
            .await;
        upkeep::prune_changes(self.process(process)).await.unwrap();
    }

    /// Restarts both processes.
    pub(crate) async fn restart(&mut self) {
        self.close().await;
        self.open().await;
    }

    pub(crate) async fn close(&mut self) {
        for database in self.databases.drain(..) {
            database.close().await;
        }
    }

    async fn open(&mut self) {
        while self.databases.len() < PROCESSES {
            self.databases.push(Store::open(&self.url).await.unwrap());
        }
        self.announce().await;
    }

    /// Announces the lease lengths of the processes, one after the other.
    async fn announce(&self) {
        for (database, lasts_ms) in self.databases.iter().zip(self.lasts_ms) {
            database.announce_leases(lasts_ms).await.unwrap();
        }
    }

    /// Loses everything that is not durable, and restarts both processes. On SQLite this is a restart of the machine, on
    /// PostgreSQL a crash of the server.
    pub(crate) async fn lose_leases(&mut self) {
        self.close().await;
        self.execute("DELETE FROM edge_leases").await;
        match self.is_sqlite() {
            true => self.execute("UPDATE revision_log SET boot_id = 'another'").await,
            false => self.execute("TRUNCATE lease_witness").await,
        }
        self.open().await;
    }

    /// Moves the database: on SQLite a restore from a backup, on PostgreSQL another timeline.
    pub(crate) async fn move_elsewhere(&mut self) {
        if let Some(folder) = &self.folder {
            let former = self.url.trim_start_matches("sqlite:").to_owned();
            self.copies += 1;
            let file = folder.path().join(format!("copy-{}.db", self.copies));
            backup::make(self.process(0), &Actor::service(), &file).await.unwrap();
            self.url = format!("sqlite:{}", file.display());
            self.outside = AnyConnection::connect(&self.url).await.unwrap();
            self.close().await;
            std::fs::remove_file(former).unwrap();
        } else {
            self.execute("UPDATE revision_log SET place = 'elsewhere'; DELETE FROM edge_leases").await;
        }
        self.restart().await;
    }
}
