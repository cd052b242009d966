//! Creates, drops and queries databases of a PostgreSQL server, with `psql`.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::programs;

/// The databases of a server.
#[derive(Clone, Debug)]
pub struct Databases {
    /// The URL of the database to connect to when creating others.
    maintenance_url: String,
}

impl Databases {
    /// The databases of the server with this maintenance database, with the rights of the role in the URL.
    pub fn new(maintenance_url: &str) -> Self {
        Databases { maintenance_url: maintenance_url.to_owned() }
    }

    /// The URL of a database, which need not exist.
    pub fn url(&self, database: &str) -> String {
        let url = &self.maintenance_url;
        let host = url.find("://").map_or(0, |at| at + "://".len());
        let options = url.find('?').unwrap_or(url.len());
        let path = url[host..options].find('/').map_or(options, |at| host + at);
        format!("{}/{database}{}", &url[..path], &url[options..])
    }

    /// Creates a database and returns its URL. It is a copy of `template`, if that is given; a template must have no clients.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub fn create(&self, database: &str, template: Option<&str>) -> Result<String> {
        let template = template.map_or(String::new(), |template| format!(r#" TEMPLATE "{template}""#));
        Self::run(&self.maintenance_url, &format!(r#"CREATE DATABASE "{database}"{template}"#))?;
        Ok(self.url(database))
    }

    /// Disconnects the clients of a database and drops it, if it exists.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub fn drop(&self, database: &str) -> Result<()> {
        Self::run(&self.maintenance_url, &format!(r#"DROP DATABASE IF EXISTS "{database}" WITH (FORCE)"#))?;
        Ok(())
    }

    /// Runs one SQL statement in a database and returns its rows: one a line, columns separated by `|`.
    ///
    /// # Errors
    /// The server refuses, which the message quotes, or cannot be reached.
    pub fn query(&self, database: &str, sql: &str) -> Result<String> {
        Self::run(&self.url(database), sql)
    }

    fn run(url: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(programs::find_client()?);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password"]);
        command.args(["--set", "ON_ERROR_STOP=1", "--dbname", url, "--command", sql]);
        let output = command.env("PGOPTIONS", "-c client_min_messages=warning").output();
        let output = output.context("cannot run psql")?;
        if !output.status.success() {
            bail!("psql cannot run {sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_replaced_in_a_url_and_nothing_else() {
        for (maintenance, expected) in [
            ("postgres://me@host:5432/postgres", "postgres://me@host:5432/keys"),
            ("postgres://me@host:5432", "postgres://me@host:5432/keys"),
            ("postgres://host/postgres?sslmode=require", "postgres://host/keys?sslmode=require"),
            ("postgres:///postgres?host=/run/pg", "postgres:///keys?host=/run/pg"),
        ] {
            assert_eq!(Databases::new(maintenance).url("keys"), expected);
        }
    }
}
