//! Temporary PostgreSQL clusters: stopping and killing the server, databases, cleanup.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and these are what tests call"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure by the real clock")]

use std::time::{Duration, Instant};

use test_stack::postgres::{NON_DURABLE, Postgres, Shutdown};

/// The number of rows in the table.
fn rows(postgres: &Postgres) -> String {
    postgres.databases().query("kept", "SELECT COUNT(*) FROM t").unwrap()
}

#[test]
#[ignore = "needs PostgreSQL: run `cargo xtask test`"]
fn committed_rows_survive_every_way_to_stop_a_server() {
    let postgres = Postgres::start(&[]).unwrap();
    assert_eq!(postgres.databases().query("postgres", "SHOW fsync").unwrap(), "on");
    postgres.databases().create("kept", None).unwrap();
    postgres.databases().query("kept", "CREATE TABLE t AS SELECT 1").unwrap();
    postgres.restart().unwrap();
    assert_eq!(rows(&postgres), "1");
    postgres.stop(Shutdown::Immediate).unwrap();
    assert!(postgres.databases().query("kept", "SELECT 1").is_err());
    postgres.start_again().unwrap();
    assert_eq!(rows(&postgres), "1");
    postgres.process().kill().unwrap();
    postgres.start_again().unwrap();
    assert_eq!(rows(&postgres), "1");
    let log = postgres.process().log().unwrap();
    assert_eq!(log.matches("automatic recovery in progress").count(), 2, "{log}");
}

#[test]
#[ignore = "needs PostgreSQL: run `cargo xtask test`"]
fn a_connected_client_does_not_delay_a_stop() {
    let postgres = Postgres::start(&NON_DURABLE).unwrap();
    let databases = postgres.databases().clone();
    let client = std::thread::spawn(move || databases.query("postgres", "SELECT pg_sleep(60)"));
    let sleeping =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()";
    while postgres.databases().query("postgres", sleeping).unwrap() != "1" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    postgres.restart().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(client.join().unwrap().is_err());
}

#[test]
#[ignore = "needs PostgreSQL: run `cargo xtask test`"]
fn a_database_is_created_from_a_template_and_dropped_with_its_clients() {
    let postgres = Postgres::start(&NON_DURABLE).unwrap();
    let databases = postgres.databases();
    databases.create("first", None).unwrap();
    databases.query("first", "CREATE TABLE t AS SELECT 'from the template' AS x").unwrap();
    assert_eq!(databases.create("second", Some("first")).unwrap(), postgres.url("second"));
    assert_eq!(databases.query("second", "SELECT x FROM t").unwrap(), "from the template");
    let error = databases.create("second", None).unwrap_err().to_string();
    assert!(error.contains("already exists"), "{error}");
    databases.drop("second").unwrap();
    databases.drop("second").unwrap();
    assert!(databases.query("second", "SELECT 1").is_err());
}

#[test]
#[ignore = "needs PostgreSQL: run `cargo xtask test`"]
fn a_dropped_cluster_leaves_no_files_and_no_server() {
    let postgres = Postgres::start(&NON_DURABLE).unwrap();
    let (folder, address) = (postgres.data().parent().unwrap().to_owned(), postgres.address());
    assert!(folder.exists());
    drop(postgres);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(address).is_err());
}
