//! Writes all keys into a file that [`super::import`] can read.
//!
//! For each key the file has the digest of the current value only, without old values that still work after a roll. It has
//! no permissions and no passwords of users.

use std::io::{self, Write};

use protocol::{KeyDigest, ResourceId, ScopeSet};
use serde::Serialize;
use serde_json::json;

use super::csv::CsvWriter;
use super::{DIGEST_PREFIX, FIELDS, Format, sql};
use crate::audit::{self, Action, Actor, Event};
use crate::db;
use crate::db::rows::stored_ids;
use crate::keys::Key;
use crate::revocation::Store;
use crate::time::Timestamp;

/// The number of keys that one statement reads.
const PAGE_KEYS: u16 = 1_000;

/// A key, its user, and the digest of its current value.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The key.
    pub key: Key,
    /// The address of its user.
    pub email: String,
    /// The digest of its current value.
    pub digest: KeyDigest,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Writing failed.
    #[error("cannot write the keys: {0}")]
    Write(#[from] io::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// Writes all keys, page by page, and returns their number. Keys that are created or deleted meanwhile may be missing or
/// included.
///
/// # Errors
/// See [`ExportError`].
pub async fn export(
    store: &Store,
    by: &Actor,
    format: Format,
    output: impl Write,
) -> Result<u64, ExportError> {
    let mut writer = KeyWriter::new(output, format)?;
    let (mut last, mut count) = (String::new(), 0);
    loop {
        let page = sql::export(store.pool(), &last, PAGE_KEYS.into()).await?;
        for exported in &page {
            writer.write(exported)?;
        }
        count += page.len() as u64;
        match page.last() {
            Some(exported) => last.clone_from(&exported.key.id),
            None => break,
        }
    }
    writer.finish()?;
    let detail = json!({ "keys": count });
    let event = Event { action: Action::DatabaseExported, user_id: None, subject: None, detail: &detail };
    let mut write = store.begin_write().await?;
    audit::record(write.connection(), by, event).await?;
    write.commit().await?;
    Ok(count)
}

/// A line, with the fields of [`FIELDS`] in their order.
#[derive(Serialize)]
struct ExportedFields<'a> {
    email: &'a str,
    label: &'a str,
    secure_value: String,
    scopes: &'a ScopeSet,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
    mask_value: &'a str,
    last_rolled_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    scoped_teams: Option<&'a Vec<ResourceId>>,
    scoped_organizations: Option<&'a Vec<ResourceId>>,
}

impl<'a> ExportedFields<'a> {
    fn new(Exported { key, email, digest }: &'a Exported) -> Self {
        ExportedFields {
            email,
            label: &key.label,
            secure_value: format!("{DIGEST_PREFIX}{}", digest.to_hex()),
            scopes: &key.scopes,
            created_at: key.created_at,
            last_used_at: key.last_used_at,
            mask_value: &key.mask_value,
            last_rolled_at: key.last_rolled_at,
            expires_at: key.expires_at,
            scoped_teams: key.restrictions.projects.as_ref(),
            scoped_organizations: key.restrictions.organizations.as_ref(),
        }
    }
}

/// Writes keys, one line each.
pub struct KeyWriter<W: Write>(FormatWriter<W>);

enum FormatWriter<W: Write> {
    Csv(Box<CsvWriter<W>>),
    Jsonl(W),
}

impl<W: Write> KeyWriter<W> {
    /// Starts with the names of the columns if the format has them.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(output: W, format: Format) -> io::Result<Self> {
        Ok(KeyWriter(match format {
            Format::Csv => FormatWriter::Csv(Box::new(CsvWriter::new(output, &FIELDS)?)),
            Format::Jsonl => FormatWriter::Jsonl(output),
        }))
    }

    /// Writes one key.
    ///
    /// # Errors
    /// Writing fails.
    pub fn write(&mut self, exported: &Exported) -> io::Result<()> {
        let fields = ExportedFields::new(exported);
        match &mut self.0 {
            FormatWriter::Csv(writer) => {
                let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
                writer.row(&[
                    fields.email,
                    fields.label,
                    &fields.secure_value,
                    &fields.scopes.to_string(),
                    &fields.created_at.to_string(),
                    &time(fields.last_used_at),
                    fields.mask_value,
                    &time(fields.last_rolled_at),
                    &time(fields.expires_at),
                    &stored_ids(fields.scoped_teams).unwrap_or_default(),
                    &stored_ids(fields.scoped_organizations).unwrap_or_default(),
                ])
            }
            FormatWriter::Jsonl(output) => {
                serde_json::to_writer(&mut *output, &fields)?;
                output.write_all(b"\n")
            }
        }
    }

    /// Writes the rest of the buffer.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            FormatWriter::Csv(writer) => writer.finish(),
            FormatWriter::Jsonl(mut output) => output.flush(),
        }
    }
}
