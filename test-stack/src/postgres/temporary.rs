//! Temporary databases, one a test, on a server that other runs may use too.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::databases::Databases;
use crate::paths::POSTGRES_URL_VARIABLE;

/// The prefix of their names; the time of creation follows, in seconds since 1970.
const PREFIX: &str = "edge_key_auth_test_";

/// A temporary database of this age is stale: the tests that created it were killed.
const STALE_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// The database of one test. When this is dropped, so is the database; an error there is ignored.
#[derive(Debug)]
pub struct TemporaryDatabase {
    databases: Databases,
    /// Empty if the database is kept.
    name: String,
}

impl Databases {
    /// The databases of the server that [`POSTGRES_URL_VARIABLE`] names.
    pub fn from_env() -> Option<Self> {
        env::var(POSTGRES_URL_VARIABLE).ok().map(|url| Databases::new(&url))
    }

    /// Creates the database of one test, a copy of `template` if that is given.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub fn temporary(&self, template: Option<&str>) -> Result<TemporaryDatabase> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).context("cannot get random numbers from the system")?;
        let name = format!("{PREFIX}{}_{:016x}", seconds(), u64::from_ne_bytes(random));
        self.create(&name, template)?;
        Ok(TemporaryDatabase { databases: self.clone(), name })
    }

    /// Drops the stale ones.
    fn drop_stale(&self) -> Result<()> {
        let listed = format!("SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%'");
        for name in self.query("postgres", &listed)?.lines() {
            let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse::<u64>().ok());
            if made.is_some_and(|made| made + STALE_AFTER.as_secs() < seconds()) {
                // Another run may drop it at the same time.
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

    /// Runs one SQL statement in it and returns its rows: one a line, columns separated by `|`.
    ///
    /// # Errors
    /// The server refuses, which the message quotes, or cannot be reached.
    pub fn query(&self, sql: &str) -> Result<String> {
        self.databases.query(&self.name, sql)
    }

    /// Keeps the database as a template and returns its name. A test program cannot tell when its last test ends, so a later
    /// run drops it, here, as stale.
    ///
    /// # Errors
    /// The stale databases cannot be listed.
    pub fn into_template(mut self) -> Result<String> {
        self.databases.drop_stale()?;
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
