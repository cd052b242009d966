//! The production store and the simulation's model of the database give the same answers to the same operations.
//!
//! The simulation proves the lease protocol on a model of the database. This test proves the model. A seed draws a sequence
//! of operations, which runs on the store, through two processes, and on the model. After each operation, the answers are
//! compared. The test sets the database's clock: time passes in steps, often exactly to the end of a lease or a value. If the
//! store read another clock, times would differ by years.
//!
//! `CONFORMANCE_SEQUENCES` is the number of sequences on each database, `CONFORMANCE_SEED` the first seed. A failure prints the
//! seed and the operations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "the test measures, and reads its own settings")]

mod clock;
mod model;
mod postgresql;
mod reading;
mod sequence;
mod store;
mod wanted;

use std::str::FromStr;

use store::TestStore;

/// The default numbers of sequences. PostgreSQL takes longer.
const ON_SQLITE: u64 = 200;
const ON_POSTGRESQL: u64 = 20;

#[test]
fn sqlite_answers_as_the_model_does() {
    run(ON_SQLITE, TestStore::on_sqlite);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn postgresql_answers_as_the_model_does() {
    let server = test_stack::postgres::Postgres::start(&test_stack::postgres::NON_DURABLE).unwrap();
    let url = server.databases().create("keys", None).unwrap();
    run(ON_POSTGRESQL, || TestStore::on_postgres(&url));
}

fn run<F: Future<Output = TestStore>>(sequences: u64, open: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut store = open().await;
        let first: u64 = from_environment("CONFORMANCE_SEED").unwrap_or(0);
        let sequences = from_environment("CONFORMANCE_SEQUENCES").unwrap_or(sequences);
        let mut steps = 0;
        for seed in first..first + sequences {
            match sequence::run(seed, &mut store).await {
                Ok(done) => steps += done,
                Err(difference) => panic!(
                    "{difference}\nto see it again: CONFORMANCE_SEED={seed} CONFORMANCE_SEQUENCES=1, on {}",
                    store.name()
                ),
            }
        }
        println!("{sequences} sequences of {steps} operations on {}: the same answers", store.name());
        store.close().await;
    });
}

fn from_environment<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: not a number: {text}")))
}
