//! The conditions of a search, each of which is optional.

use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, FromRow, Row};

use super::error::Result;
use crate::paging::{Page, PageRequest};

/// A value that a condition compares with.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    Text(String),
    Number(i64),
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        Bound::Text(text.to_owned())
    }
}

impl From<i64> for Bound {
    fn from(number: i64) -> Self {
        Bound::Number(number)
    }
}

/// A text with the special characters of `LIKE … ESCAPE '\'` escaped.
pub(crate) fn like_escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    conditions: Vec<String>,
    bound: Vec<Bound>,
}

impl Filter {
    /// Adds a condition, in which each `?` is replaced by the placeholder of the next of `values`.
    pub(crate) fn and(&mut self, condition: &'static str, values: impl IntoIterator<Item = Bound>) {
        let mut numbered = String::from("(");
        for (n, part) in condition.split('?').enumerate() {
            if n > 0 {
                numbered.push_str(&format!("${}", self.bound.len() + n));
            }
            numbered.push_str(part);
        }
        numbered.push(')');
        self.conditions.push(numbered);
        self.bound.extend(values);
    }

    /// Adds the condition that a column holds one of these texts. Without texts, the search finds nothing.
    pub(crate) fn and_one_of(&mut self, column: &'static str, texts: &[String]) {
        if texts.is_empty() {
            return self.and("1 = 0", []);
        }
        let first = self.bound.len() + 1;
        let places: Vec<_> = (first..first + texts.len()).map(|n| format!("${n}")).collect();
        self.conditions.push(format!("{column} IN ({})", places.join(", ")));
        self.bound.extend(texts.iter().map(|text| text.as_str().into()));
    }

    /// Adds the condition that one of these columns contains a text, in any letter case: on SQLite, of
    /// ASCII letters.
    pub(crate) fn and_contains(&mut self, columns: &'static [&'static str], text: &str) {
        let escaped = like_escaped(text);
        let first = self.bound.len() + 1;
        let one =
            |(n, column): (usize, &&str)| format!(r"LOWER({column}) LIKE LOWER(${}) ESCAPE '\'", first + n);
        let any: Vec<_> = columns.iter().enumerate().map(one).collect();
        self.conditions.push(format!("({})", any.join(" OR ")));
        self.bound.extend(columns.iter().map(|_| Bound::Text(format!("%{escaped}%"))));
    }

    /// Runs `SELECT columns FROM from WHERE … ORDER BY order` for one page, and counts all rows.
    pub(crate) async fn find<T>(
        &self,
        pool: &AnyPool,
        columns: &str,
        from: &str,
        order: &str,
        page: PageRequest,
    ) -> Result<Page<T>>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        // Safe: it consists of this program's own texts, and every value is bound.
        let count = AssertSqlSafe(format!("SELECT COUNT(*) AS n FROM {from} WHERE {}", self.conditions()));
        let mut count = sqlx::query(count);
        for bound in &self.bound {
            count = match bound {
                Bound::Text(text) => count.bind(text.as_str()),
                Bound::Number(number) => count.bind(*number),
            };
        }
        let count: i64 = count.fetch_one(pool).await?.try_get("n")?;
        let rows = self.rows(pool, columns, from, order, page).await?;
        Ok(Page { count: u64::try_from(count).unwrap_or_default(), rows })
    }

    /// Like [`Filter::find`], without the count.
    pub(crate) async fn rows<T>(
        &self,
        pool: &AnyPool,
        columns: &str,
        from: &str,
        order: &str,
        page: PageRequest,
    ) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let (limit, offset) = (self.bound.len() + 1, self.bound.len() + 2);
        let conditions = self.conditions();
        // Safe: it consists of this program's own texts, and every value is bound.
        let select = AssertSqlSafe(format!(
            "SELECT {columns} FROM {from} WHERE {conditions} ORDER BY {order} LIMIT ${limit} OFFSET ${offset}"
        ));
        let mut select = sqlx::query_as::<_, T>(select);
        for bound in &self.bound {
            select = match bound {
                Bound::Text(text) => select.bind(text.as_str()),
                Bound::Number(number) => select.bind(*number),
            };
        }
        Ok(select.bind(i64::from(page.limit)).bind(i64::from(page.offset)).fetch_all(pool).await?)
    }

    fn conditions(&self) -> String {
        if self.conditions.is_empty() { "1 = 1".to_owned() } else { self.conditions.join(" AND ") }
    }
}
