//! Imports keys from a file without disturbing a running service and its edges.
//!
//! The import does not raise the revision: no edge can have an active verdict on a digest that belongs to no key, and an
//! inactive verdict lives a few seconds. Each chunk of lines has its own transaction. Between two chunks, other writers get
//! half as much time. After an interruption, the next run finds the committed keys unchanged.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use protocol::{KeyDigest, ScopeSet};
use serde::Serialize;
use sqlx::AnyConnection;

use super::line::{Line, Refused};
use super::read::ReadError;
use super::sql;
use crate::accounts::{self, AccountError, Email, User, UserKind};
use crate::audit::{self, Action, Actor, Event};
use crate::catalogue::Catalogue;
use crate::db;
use crate::keys::{self, Key, rules};
use crate::random;
use crate::revocation::Store;
use crate::time::{Timestamp, monotonic_now};

/// The most lines in one transaction.
pub const CHUNK_LINES: usize = 1_000;

/// The least time for other writers after each chunk.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// The outcome of the lines so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The number of lines.
    pub lines: u64,
    /// The number of lines that became keys.
    pub imported: u64,
    /// The number of lines whose keys already existed, and allow no more than the lines.
    pub unchanged: u64,
    /// The number of refused lines.
    pub refused: u64,
    /// The number of added users.
    pub users_added: u64,
}

/// The options of an import.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only report what an import would do.
    pub dry_run: bool,
    /// Add missing users with these permissions and without a password.
    pub create_users: Option<ScopeSet>,
}

/// Why an import ended before the last line. Earlier chunks remain.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A user could not be added, or the database failed.
    #[error(transparent)]
    Write(#[from] AccountError),
    /// The report of refused lines could not be written.
    #[error("cannot write the report: {0}")]
    Report(std::io::Error),
}

impl From<db::Error> for ImportError {
    fn from(error: db::Error) -> Self {
        ImportError::Write(error.into())
    }
}

/// A running import.
#[derive(Debug)]
pub struct Import<'a> {
    store: &'a Store,
    by: &'a Actor,
    catalogue: &'a Catalogue,
    options: Options,
    summary: Summary,
    /// The digests of the file so far.
    seen: HashSet<KeyDigest>,
    /// In a dry run, the number of keys that each user would have got, by address. The users exist or would have been added.
    promised: HashMap<String, usize>,
}

/// The rows of the database on which a chunk depends.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// The users, by address.
    pub(crate) users: HashMap<String, ImportUser>,
    /// The keys that have the values now, with the addresses of their users.
    pub(crate) keys: HashMap<KeyDigest, (Key, String)>,
    /// Values that belonged to a key.
    pub(crate) revoked: HashSet<KeyDigest>,
}

/// A user who holds keys.
#[derive(Debug)]
pub(crate) struct ImportUser {
    pub(crate) id: String,
    pub(crate) permissions: ScopeSet,
    pub(crate) keys: usize,
}

/// The rows that a chunk writes.
#[derive(Debug, Default)]
struct Additions {
    users: Vec<User>,
    keys: Vec<(Key, KeyDigest)>,
}

impl<'a> Import<'a> {
    /// Starts an import.
    pub fn new(store: &'a Store, by: &'a Actor, catalogue: &'a Catalogue, options: Options) -> Self {
        let (summary, seen, promised) = Default::default();
        Import { store, by, catalogue, options, summary, seen, promised }
    }

    /// The outcome of the lines so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Imports up to [`CHUNK_LINES`] lines: all valid ones or, if the database fails, none. Returns the refused ones in
    /// their order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn store_chunk(
        &mut self,
        lines: Vec<Result<Line, Refused>>,
        now: Timestamp,
    ) -> Result<Vec<Refused>, ImportError> {
        let mut summary = self.summary;
        summary.lines += lines.len() as u64;
        let mut refused = Vec::new();
        let mut good = Vec::with_capacity(lines.len());
        for line in lines {
            match line {
                Ok(line) => good.push(line),
                Err(line) => refused.push(line),
            }
        }
        if self.options.dry_run {
            let mut connection = self.store.connection().await?;
            self.sort(&mut connection, good, now, &mut summary, &mut refused).await?;
        } else {
            let mut write = self.store.begin_write().await?;
            let began = monotonic_now();
            let additions = self.sort(write.connection(), good, now, &mut summary, &mut refused).await?;
            for user in &additions.users {
                accounts::insert(write.connection(), self.by, user).await?;
            }
            sql::insert_keys(write.connection(), &additions.keys).await?;
            self.log(write.connection(), &additions.keys).await?;
            write.commit().await?;
            // SQLite has no queue for other processes: a waiting writer retries within a tenth of a second.
            tokio::time::sleep(((monotonic_now() - began) / 2).max(LEAST_PAUSE)).await;
        }
        refused.sort_by_key(|refused| refused.line);
        summary.refused += refused.len() as u64;
        self.summary = summary;
        Ok(refused)
    }

    async fn log(&self, connection: &mut AnyConnection, keys: &[(Key, KeyDigest)]) -> db::Result<()> {
        let details: Vec<_> = keys.iter().map(|(key, _)| key.granted()).collect();
        let events: Vec<_> = keys
            .iter()
            .zip(&details)
            .map(|((key, _), detail)| Event {
                action: Action::KeyImported,
                user_id: Some(key.user_id.as_str()),
                subject: Some((key.id.as_str(), key.label.as_str())),
                detail,
            })
            .collect();
        audit::record_all(connection, self.by, &events).await
    }

    /// Decides the outcome of each line.
    async fn sort(
        &mut self,
        connection: &mut AnyConnection,
        lines: Vec<Line>,
        now: Timestamp,
        summary: &mut Summary,
        refused: &mut Vec<Refused>,
    ) -> db::Result<Additions> {
        let emails: HashSet<&str> = lines.iter().map(|line| line.email.as_str()).collect();
        let digests: Vec<_> = lines.iter().map(|line| line.digest).collect();
        let mut present = sql::present(connection, &emails, &digests).await?;
        for (email, promised) in emails.iter().filter_map(|email| self.promised.get_key_value(*email)) {
            // A user that this dry run would have added is not in the database.
            let added = || ImportUser {
                id: String::new(),
                permissions: self.options.create_users.clone().unwrap_or_default(),
                keys: 0,
            };
            present.users.entry(email.clone()).or_insert_with(added).keys += promised;
        }
        let mut additions = Additions::default();
        for line in lines {
            let users_before = additions.users.len();
            let number = line.number;
            match self.place(line, now, &mut present, &mut additions) {
                Ok(true) => summary.imported += 1,
                Ok(false) => summary.unchanged += 1,
                Err((field, reason)) => refused.push(Refused::new(number, field, reason)),
            }
            summary.users_added += (additions.users.len() - users_before) as u64;
        }
        Ok(additions)
    }

    /// Adds the key of a line; `false` if it exists and allows no more than the line. The error is the invalid field and the reason.
    fn place(
        &mut self,
        line: Line,
        now: Timestamp,
        present: &mut Present,
        additions: &mut Additions,
    ) -> Result<bool, (&'static str, String)> {
        if self.seen.contains(&line.digest) {
            return Err(("secure_value", "the same value is in an earlier line".to_owned()));
        }
        if present.revoked.contains(&line.digest) {
            return Err((
                "secure_value",
                "this value was revoked; a revoked value never works again".to_owned(),
            ));
        }
        match present.keys.get(&line.digest) {
            Some((key, email)) if *email == line.email => {
                if let Some(excess) = key.beyond(&line.asked(), now) {
                    return Err((excess.field, format!("the key exists, and {excess}")));
                }
                self.seen.insert(line.digest);
                return Ok(false);
            }
            Some(_) => return Err(("secure_value", "this is the value of another user's key".to_owned())),
            None => {}
        }
        let check_scopes = |permissions: &ScopeSet| {
            let held = ScopeSet::default();
            let known = line
                .scopes
                .iter()
                .try_for_each(|scope| rules::within_catalogue(scope, self.catalogue, &held));
            let checked = known.and_then(|()| rules::within_permissions(&line.scopes, permissions, &held));
            checked.map_err(|violation| ("scopes", violation.detail))
        };
        let user = match present.users.entry(line.email.clone()) {
            Entry::Occupied(user) => {
                check_scopes(&user.get().permissions)?;
                user.into_mut()
            }
            Entry::Vacant(vacant) => {
                let Some(permissions) = &self.options.create_users else {
                    return Err((
                        "email",
                        "there is no user with this address; --create-users adds it".to_owned(),
                    ));
                };
                check_scopes(permissions)?;
                if !UserKind::of(&line.email).is_service() {
                    line.email.parse::<Email>().map_err(|violation| ("email", violation.detail))?;
                }
                // A person has to follow a one-time link before the first sign-in.
                let id = random::ordered_uuid().to_string();
                let user = User::without_password(id, line.email.clone(), permissions.clone(), now);
                let permissions = permissions.clone();
                let held = vacant.insert(ImportUser { id: user.id.clone(), permissions, keys: 0 });
                additions.users.push(user);
                held
            }
        };
        let most = keys::most_keys(UserKind::of(&line.email));
        if user.keys >= most {
            return Err(("email", format!("the user has {most} keys already, and that is the most")));
        }
        user.keys += 1;
        if self.options.dry_run {
            *self.promised.entry(line.email.clone()).or_default() += 1;
        }
        self.seen.insert(line.digest);
        additions.keys.push((line.key(&user.id), line.digest));
        Ok(true)
    }
}
