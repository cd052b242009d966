//! The SQL of the audit log.

use const_format::formatcp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, AnyPool, FromRow, Row};

use super::actor::Actor;
use super::entry::{Action, AuditSearch, Entry, Event};
use crate::db;
use crate::db::NOW_MS;
use crate::db::filter::{Filter, like_escaped};
use crate::db::rows::{ROWS_AT_ONCE, RowResult, parsed, with_rows};
use crate::paging::{MAX_LIMIT, Page, PageRequest};
use crate::random;

impl<'r> FromRow<'r, AnyRow> for Entry {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        Ok(Entry {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            action: row.try_get("action")?,
            actor_kind: parsed(row, "actor_kind", |kind: String| {
                kind.parse().map_err(|_| format!("not a kind of actor: {kind}"))
            })?,
            actor_id: row.try_get("actor_id")?,
            actor_name: row.try_get("actor_name")?,
            address: row.try_get("address")?,
            request_id: row.try_get("request_id")?,
            user_id: row.try_get("user_id")?,
            user_email: row.try_get("user_email")?,
            subject_id: row.try_get("subject_id")?,
            subject_name: row.try_get("subject_name")?,
            detail: parsed(row, "detail", |text: String| serde_json::from_str(&text))?,
        })
    }
}

/// The columns of an entry.
const COLUMNS: &str = "id, at, action, actor_kind, actor_id, actor_name, address, request_id, \
    user_id, user_email, subject_id, subject_name, detail";

/// Adds entries.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    by: &Actor,
    events: &[Event<'_>],
) -> db::Result<()> {
    for events in events.chunks(ROWS_AT_ONCE) {
        let insert = formatcp!(
            "WITH event (id, action, user_id, subject_id, subject_name, detail) AS (VALUES :rows)
            INSERT INTO audit_log ({COLUMNS})
            SELECT e.id, {NOW_MS}, e.action, :+1, :+2, :+3, :+4, :+5, e.user_id, u.email, e.subject_id, e.subject_name, e.detail
            FROM event e LEFT JOIN users u ON u.id = e.user_id"
        );
        let mut query = sqlx::query(with_rows(insert, 6, events.len()));
        for event in events {
            let (subject_id, subject_name) = event.subject.unzip();
            query = query
                .bind(random::ordered_uuid().to_string())
                .bind(event.action.as_str())
                .bind(event.user_id)
                .bind(subject_id)
                .bind(subject_name)
                .bind(event.detail.to_string());
        }
        query
            .bind(by.kind.as_str())
            .bind(by.id.as_deref())
            .bind(&by.name)
            .bind(by.address.map(|address| address.to_string()))
            .bind(by.request_id.as_deref())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The order of entries: newest first.
const ORDER: &str = "at DESC, id DESC";

/// Entries, newest first.
pub(crate) async fn search(pool: &AnyPool, search: &AuditSearch) -> db::Result<Page<Entry>> {
    filter(search).find(pool, COLUMNS, "audit_log", ORDER, search.page).await
}

/// The entries that come after `last` in this order, at most [`MAX_LIMIT`].
pub(crate) async fn following(
    pool: &AnyPool,
    search: &AuditSearch,
    last: Option<&Entry>,
) -> db::Result<Vec<Entry>> {
    let mut filter = filter(search);
    if let Some(last) = last {
        let at = last.at.unix_ms();
        filter.and("at < ? OR (at = ? AND id < ?)", [at.into(), at.into(), last.id.as_str().into()]);
    }
    let page = PageRequest { limit: MAX_LIMIT, offset: 0 };
    filter.rows(pool, COLUMNS, "audit_log", ORDER, page).await
}

fn filter(search: &AuditSearch) -> Filter {
    let mut filter = Filter::default();
    if let Some(action) = &search.action {
        let prefix = like_escaped(action) + "%";
        filter.and(r"action LIKE LOWER(?) ESCAPE '\'", [prefix.as_str().into()]);
    }
    if let Some(actor) = &search.actor {
        filter.and_contains(&["actor_name"], actor);
    }
    if let Some(text) = &search.concerns {
        filter.and_contains(&["subject_name", "user_email"], text);
    }
    if let Some(user_id) = &search.user_id {
        filter.and("user_id = ? OR actor_id = ?", [user_id.as_str().into(), user_id.as_str().into()]);
    }
    if let Some(subject_id) = &search.subject_id {
        filter.and("subject_id = ?", [subject_id.as_str().into()]);
    }
    if let Some(since) = search.since {
        filter.and("at >= ?", [since.unix_ms().into()]);
    }
    if let Some(until) = search.until {
        filter.and("at <= ?", [until.unix_ms().into()]);
    }
    filter
}

/// The IP addresses of the callers of one of these actions on the user with an email address, within the last `within_s`
/// seconds.
pub(crate) async fn addresses(
    pool: &AnyPool,
    email: &str,
    actions: [Action; 2],
    within_s: u32,
) -> db::Result<Vec<String>> {
    let select = formatcp!(
        "SELECT DISTINCT a.address FROM audit_log a JOIN users u ON u.id = a.user_id
        WHERE u.email = $1 AND a.action IN ($2, $3) AND a.at >= {NOW_MS} - $4 AND a.address IS NOT NULL"
    );
    let [first, second] = actions.map(Action::as_str);
    Ok(sqlx::query_scalar(select)
        .bind(email)
        .bind(first)
        .bind(second)
        .bind(i64::from(within_s) * 1_000)
        .fetch_all(pool)
        .await?)
}

/// Removes at most `at_most` entries that are older than `kept_ms` milliseconds. Returns how many.
pub(crate) async fn prune(connection: impl AnyExecutor<'_>, kept_ms: i64, at_most: i64) -> db::Result<u64> {
    let delete = formatcp!(
        "DELETE FROM audit_log WHERE id IN
        (SELECT id FROM audit_log WHERE at < {NOW_MS} - $1 ORDER BY at LIMIT $2)"
    );
    let query = sqlx::query(delete).bind(kept_ms).bind(at_most);
    Ok(query.execute(connection).await?.rows_affected())
}
