//! Databases that tests make and drop, on a server that others may use too.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::databases::Databases;
use crate::paths::POSTGRES_URL_VARIABLE;

/// What their names begin with; the time of their making follows, in seconds since 1970.
const PREFIX: &str = "edge_key_auth_test_";

/// One of this age was left behind by tests that were killed.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// A database of one test. Dropped, it is dropped from the server too, as far as that can be had.
#[derive(Debug)]
pub struct TemporaryDatabase {
    databases: Databases,
    /// Empty if it is to stay.
    name: String,
}

impl Databases {
    /// Those of the server that the tests are to use, if the environment names one.
    pub fn of_the_tests() -> Option<Self> {
        env::var(POSTGRES_URL_VARIABLE).ok().map(|url| Databases::of(&url))
    }

    /// Makes a database for one test, a copy of another if one is named.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub fn temporary(&self, template: Option<&str>) -> Result<TemporaryDatabase> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).context("the system gives no random numbers")?;
        let name = format!("{PREFIX}{}_{:016x}", seconds(), u64::from_ne_bytes(random));
        self.create(&name, template)?;
        Ok(TemporaryDatabase { databases: self.clone(), name })
    }

    /// Drops what tests left behind hours ago.
    fn drop_left_behind(&self) -> Result<()> {
        let listed = format!("SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%'");
        for name in self.query("postgres", &listed)?.lines() {
            let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse::<u64>().ok());
            if made.is_some_and(|made| made + LEFT_BEHIND_AFTER.as_secs() < seconds()) {
                // Another run may be about it too.
                let _ = self.drop(name);
            }
        }
        Ok(())
    }
}

impl TemporaryDatabase {
    /// Its URL.
    pub fn url(&self) -> String {
        self.databases.url(&self.name)
    }

    /// Runs one SQL statement in it, and returns what it answers: a line a row, columns separated by `|`.
    ///
    /// # Errors
    /// The server refuses, with its words, or cannot be reached.
    pub fn query(&self, sql: &str) -> Result<String> {
        self.databases.query(&self.name, sql)
    }

    /// Keeps it for others to be copied from, and returns its name. Nobody tells a test program that its last test is
    /// over, so it is one of a later run's templates that drops it.
    ///
    /// # Errors
    /// What earlier runs left cannot be listed.
    pub fn into_template(mut self) -> Result<String> {
        self.databases.drop_left_behind()?;
        Ok(std::mem::take(&mut self.name))
    }
}

impl Drop for TemporaryDatabase {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = self.databases.drop(&self.name);
        }
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
