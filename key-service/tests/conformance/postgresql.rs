//! Interleavings on PostgreSQL. Each test holds a lock until the store's statement waits for it.

use std::time::{Duration, Instant};

use key_service::accounts::access::KeyAccess;
use key_service::audit::Actor;
use key_service::keys::{self, KeyError, NewKey};
use key_service::revocation::Store;
use key_service::time::Timestamp;
use key_service::{DatabaseError, OpenError};
use leases::{History, LeaseRenewal, LeaseStore, Position};
use protocol::{ApiKey, KeyDigest, Restrictions, ScopeSet, Verdict};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use test_stack::postgres::{NON_DURABLE, Postgres, Shutdown};
use tokio::task::JoinHandle;

use crate::model::LONGEST_MS;
use crate::store::TestStore;

/// How long an answer that waits for nothing may take.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A store on a server of its own, with one key, and a connection of the test.
struct Scene {
    server: Postgres,
    store: TestStore,
    outside: AnyConnection,
    key_id: String,
    value: ApiKey,
}

/// Runs a test on a scene. The server starts outside the runtime, because starting blocks.
fn on_scene<F: Future<Output = ()>>(test: impl FnOnce(Scene) -> F) {
    let server = Postgres::start(&NON_DURABLE).unwrap();
    let url = server.databases().create("keys", None).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut store = TestStore::on_postgres(&url).await;
        let users = store.clear().await;
        let (label, restrictions) = ("a key".parse().unwrap(), Restrictions::default());
        let new = NewKey { label, scopes: ScopeSet::all(), restrictions, expires_at: None };
        let now = Timestamp::from_unix_ms(0);
        let (key, value) =
            keys::create(store.process(0), &Actor::service(), KeyAccess::Anyone, &users[0], new, now)
                .await
                .unwrap();
        let outside = AnyConnection::connect(&url).await.unwrap();
        let mut scene = Scene { server, store, outside, key_id: key.id, value };
        scene.open_connections().await;
        test(scene).await;
    });
}

impl Scene {
    fn lease_store(&self, process: usize) -> impl LeaseStore<Error = DatabaseError> + use<> {
        self.store.process(process).lease_store()
    }

    async fn outside(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.outside).await.unwrap();
    }

    /// Opens all connections for reads, because the first statement on a new connection is not the read.
    async fn open_connections(&mut self) {
        let position = self.position().await;
        self.outside("BEGIN; LOCK TABLE revision_log IN ACCESS EXCLUSIVE MODE").await;
        let (histories, verdicts, leases) = (self.lease_store(0), self.lease_store(0), self.lease_store(0));
        let readings = tokio::spawn(async move {
            let all = tokio::join!(histories.history(None), verdicts.verdicts(&[]), leases.leases(&position));
            (all.0.unwrap(), all.1.unwrap(), all.2.unwrap())
        });
        self.until_waiting(3).await;
        self.outside("COMMIT").await;
        readings.await.unwrap();
    }

    /// Waits until this number of the store's statements wait for locks.
    async fn until_waiting(&mut self, count: i64) {
        let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
        let began = Instant::now();
        let mut look =
            async || -> i64 { sqlx::query_scalar(waits).fetch_one(&mut self.outside).await.unwrap() };
        while look().await < count {
            assert!(began.elapsed() < Duration::from_secs(4), "fewer than {count} wait for a lock");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The result of a read that waits for a table while the test makes a change.
    async fn read_while<T: Send + 'static>(
        &mut self,
        table: &str,
        change: &str,
        reading: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.outside(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
        let reading = tokio::spawn(reading);
        self.until_waiting(1).await;
        self.outside(&format!("{change}; COMMIT")).await;
        reading.await.unwrap()
    }

    /// The result of a read whose first statement already has its snapshot when the test makes a change.
    async fn read_inside<T: Send + 'static>(
        &mut self,
        change: &str,
        reading: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.outside(READINGS_WAIT).await;
        let reading = tokio::spawn(reading);
        self.until_waiting(1).await;
        self.outside(&change.replace("revision_log", "revision_log_rows")).await;
        self.outside("SELECT pg_advisory_unlock_all()").await;
        reading.await.unwrap()
    }

    async fn position(&self) -> Position {
        self.lease_store(0).history(None).await.unwrap().position
    }
}

/// Makes every statement that reads the revision wait, after it has its snapshot, for a lock that the test holds.
const READINGS_WAIT: &str = "
    ALTER TABLE revision_log RENAME TO revision_log_rows;
    CREATE FUNCTION wait_inside() RETURNS BOOLEAN LANGUAGE plpgsql VOLATILE AS 'BEGIN
        PERFORM pg_advisory_lock_shared(43); PERFORM pg_advisory_unlock_shared(43); RETURN TRUE; END';
    CREATE VIEW revision_log AS SELECT * FROM revision_log_rows WHERE wait_inside();
    SELECT pg_advisory_lock(43)";

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn changes_and_their_revision_are_read_as_one() {
    on_scene(async |mut scene| {
        for table in ["revision_log", "changes", "neither"] {
            let before = scene.position().await;
            let digest = KeyDigest::of_value(table);
            let change = format!(
                "UPDATE revision_log SET revision = revision + 1;
                INSERT INTO changes SELECT revision, '{}', 0 FROM revision_log",
                digest.to_hex()
            );
            let (lease_store, since) = (scene.lease_store(0), before.clone());
            let reading = async move { lease_store.history(Some(&since)).await };
            let found = match table {
                "neither" => scene.read_inside(&change, reading).await,
                _ => scene.read_while(table, &change, reading).await,
            };
            let History { position, changed } = found.unwrap();
            let expected = if position == before { vec![] } else { vec![digest] };
            assert_eq!(changed, Some(expected), "{table} waited for, at {position:?} after {before:?}");
        }
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn verdicts_and_their_revision_are_read_as_one() {
    on_scene(async |mut scene| {
        let digest = scene.value.digest();
        for table in ["revision_log", "key_digests", "api_keys", "users", "neither"] {
            let before = scene.position().await.revision;
            let change = "UPDATE revision_log SET revision = revision + 1;
                UPDATE users SET is_active = 0; UPDATE api_keys SET scopes = 'query:read';
                UPDATE key_digests SET expires_at = 0";
            let lease_store = scene.lease_store(0);
            let reading = async move { lease_store.verdicts(&[digest]).await };
            let found = match table {
                "neither" => scene.read_inside(change, reading).await,
                _ => scene.read_while(table, change, reading).await,
            };
            let found = found.unwrap();
            let (is_active, is_of_before) = (found.verdicts != [Verdict::Inactive], found.revision == before);
            assert_eq!(is_active, is_of_before, "{table} waited for: {found:?} after {before}");
            let back = "UPDATE users SET is_active = 1; UPDATE api_keys SET scopes = '*';
                UPDATE key_digests SET expires_at = NULL";
            scene.outside(back).await;
        }
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn leases_and_their_loss_are_read_as_one() {
    on_scene(async |mut scene| {
        scene.store.set_clock(1_000).await;
        for table in ["revision_log", "edge_leases", "neither"] {
            scene.outside("UPDATE revision_log SET lost_leases_until = 0").await;
            scene.lease_store(0).record(lease()).await.unwrap();
            let position = Position { revision: u64::MAX, ..scene.position().await };
            let loss = "UPDATE revision_log SET lost_leases_until = 9000; DELETE FROM edge_leases";
            let lease_store = scene.lease_store(0);
            let reading = async move { lease_store.leases(&position).await };
            let found = match table {
                "neither" => scene.read_inside(loss, reading).await,
                _ => scene.read_while(table, loss, reading).await,
            };
            let found = found.unwrap();
            let (knows_of_loss, held) = (found.lost_leases_until_ms == 9_000, found.behind.len());
            assert_eq!((knows_of_loss, found.held), (held == 0, held), "{table} waited for: {found:?}");
        }
    });
}

fn lease() -> LeaseRenewal {
    LeaseRenewal {
        edge: "e".to_owned(),
        acknowledged: None,
        lasts_ms: 5_000,
        used: Default::default(),
        node: Default::default(),
    }
}

/// A key is deleted while another DELETE reads it. The other DELETE waits for the revision of the first.
#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_missing_key_and_the_revision_are_read_in_one_snapshot() {
    on_scene(async |mut scene| {
        scene.store.set_clock(1_000).await;
        let before = scene.position().await;
        let knows = |revision| LeaseRenewal {
            acknowledged: Some(Position { revision, ..before.clone() }),
            lasts_ms: LONGEST_MS,
            ..lease()
        };
        scene.lease_store(0).record(knows(before.revision)).await.unwrap();
        scene.outside("BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE").await;
        let (database, id) = (scene.store.process(0).clone(), scene.key_id.clone());
        let deleting = tokio::spawn(async move {
            keys::delete(&database, &Actor::service(), KeyAccess::Anyone, &id).await.map(drop)
        });
        scene.until_waiting(1).await;
        let change = "UPDATE revision_log SET revision = revision + 1;
            DELETE FROM key_digests; DELETE FROM api_keys; COMMIT";
        scene.outside(change).await;
        tokio::time::sleep(A_MOMENT).await;
        assert!(!deleting.is_finished(), "the edge has not acknowledged the first DELETE");
        scene.lease_store(0).record(knows(before.revision + 1)).await.unwrap();
        assert!(matches!(deleting.await.unwrap(), Err(KeyError::NotFound)));
    });
}

/// Makes every commit of a row in these tables wait for a lock that the test holds.
const COMMITS_WAIT: &str = "
    CREATE FUNCTION wait_to_commit() RETURNS TRIGGER LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER waits AFTER INSERT OR UPDATE ON edge_leases
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_to_commit();
    CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON changes
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_to_commit();
    SELECT pg_advisory_lock(42)";

/// Checks that an operation is answered only after its commit.
async fn is_answered_after_its_commit<T: Send + 'static>(scene: &mut Scene, answer: JoinHandle<T>) -> T {
    scene.until_waiting(1).await;
    tokio::time::sleep(A_MOMENT).await;
    assert!(!answer.is_finished(), "it was answered before it was committed");
    scene.outside("SELECT pg_advisory_unlock_all()").await;
    answer.await.unwrap()
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_lease_is_granted_after_its_record_is_committed() {
    on_scene(async |mut scene| {
        scene.outside(COMMITS_WAIT).await;
        let lease_store = scene.lease_store(0);
        let recording = tokio::spawn(async move { lease_store.record(lease()).await });
        is_answered_after_its_commit(&mut scene, recording).await.unwrap();
        let position = scene.position().await;
        assert_eq!(scene.lease_store(1).leases(&position).await.unwrap().held, 1, "every process sees it");
    });
}

/// Leases are recorded in batches, and PostgreSQL refuses an edge that occurs twice in one statement.
#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn an_edge_that_is_in_a_batch_more_than_once_is_recorded() {
    on_scene(async |mut scene| {
        scene.store.set_clock(1_000).await;
        let before = scene.position().await;
        let knows = |revision| LeaseRenewal {
            acknowledged: Some(Position { revision: before.revision + revision, ..before.clone() }),
            ..lease()
        };
        scene.outside("UPDATE revision_log SET revision = revision + 2").await;
        scene.outside("BEGIN; LOCK TABLE edge_leases IN ACCESS EXCLUSIVE MODE").await;
        let (lease_store, of_first) = (scene.lease_store(0), knows(0));
        let first = tokio::spawn(async move { lease_store.record(of_first).await });
        scene.until_waiting(1).await;
        // Both are in the next batch when the first one ends, because they are queued when first polled.
        let (one, other) = (scene.lease_store(0), scene.lease_store(0));
        let recorded = tokio::join!(one.record(knows(2)), other.record(knows(1)), scene.outside("COMMIT"));
        first.await.unwrap().unwrap();
        recorded.0.unwrap();
        recorded.1.unwrap();
        let found = scene.lease_store(0).leases(&scene.position().await).await.unwrap();
        assert_eq!((found.held, found.behind), (1, vec![]), "the edge has acknowledged everything");
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_delete_goes_on_after_it_is_committed() {
    on_scene(async |mut scene| {
        scene.outside(COMMITS_WAIT).await;
        let (database, id) = (scene.store.process(0).clone(), scene.key_id.clone());
        let deleting = tokio::spawn(async move {
            keys::delete(&database, &Actor::service(), KeyAccess::Anyone, &id).await.unwrap().1
        });
        let propagation = is_answered_after_its_commit(&mut scene, deleting).await;
        let found = scene.lease_store(1).verdicts(&[scene.value.digest()]).await.unwrap();
        assert_eq!(
            (found.revision, found.verdicts),
            (propagation.position().revision, vec![Verdict::Inactive])
        );
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_promoted_standby_begins_another_history_and_waits_for_leases_that_it_never_had() {
    on_scene(async |mut scene| {
        scene.store.set_clock(1_000).await;
        scene.lease_store(0).record(lease()).await.unwrap();
        let before = scene.position().await;
        let Scene { server, mut store, outside, value, .. } = scene;
        let (server, standby) = tokio::task::spawn_blocking(move || {
            let standby = server.standby(&NON_DURABLE).unwrap();
            (server, standby)
        })
        .await
        .unwrap();
        let url = standby.url("keys");
        let refused = Store::open(&url).await;
        assert!(matches!(refused, Err(OpenError::Use { .. })), "a standby's answers may be old: {refused:?}");
        store.close().await;
        drop((store, outside));
        let standby = tokio::task::spawn_blocking(move || {
            server.stop(Shutdown::Immediate).unwrap();
            assert_eq!(standby.databases().query("postgres", "SELECT pg_promote()").unwrap(), "t");
            standby
        })
        .await
        .unwrap();

        let database = Store::open(&url).await.unwrap();
        let lease_store = database.lease_store();
        let history = lease_store.history(Some(&before)).await.unwrap();
        assert_ne!(history.position.epoch, before.epoch);
        assert_eq!(history.changed, None, "a cursor of an earlier epoch does not count");
        assert!(lease_store.leases(&before).await.is_err(), "a change of an earlier epoch may be lost");
        let leases = lease_store.leases(&history.position).await.unwrap();
        assert_eq!((leases.held, leases.behind), (0, vec![]));
        assert!(leases.lost_leases_until_ms > leases.now_ms, "a change waits for lost leases");
        let found = lease_store.verdicts(&[value.digest()]).await.unwrap();
        assert!(matches!(found.verdicts[..], [Verdict::Active(_)]));
        database.close().await;
        drop(standby);
    });
}
