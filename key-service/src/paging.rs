//! Pages of long lists.

use deserr::Deserr;
use utoipa::ToSchema;

use crate::validation::Violation;

/// The most rows of a page.
pub(crate) const MAX_LIMIT: u32 = 1_000;

/// The requested page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The most rows of the page, 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// The number of rows before the page.
    pub offset: u32,
}

/// The most rows of a page.
#[derive(Clone, Copy, Debug, Deserr, ToSchema)]
#[deserr(try_from(&String) = parse_limit -> Violation)]
#[schema(value_type = u32, minimum = 1, maximum = 1000, default = 100)]
pub struct Limit(u32);

/// The number of rows before the first row of a page.
#[derive(Clone, Copy, Debug, Deserr, ToSchema)]
#[deserr(try_from(&String) = parse_offset -> Violation)]
#[schema(value_type = u32, minimum = 0, maximum = 2147483647, default = 0)]
pub struct Offset(u32);

fn parse_limit(text: &str) -> Result<Limit, Violation> {
    within(text, 1, MAX_LIMIT).map(Limit)
}

fn parse_offset(text: &str) -> Result<Offset, Violation> {
    within(text, 0, i32::MAX as u32).map(Offset)
}

fn within(text: &str, least: u32, most: u32) -> Result<u32, Violation> {
    let number = text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Violation::out_of_range(least, most))
}

impl PageRequest {
    /// The page that a query asks for; 100 rows from the first one by default.
    pub fn new(limit: Option<Limit>, offset: Option<Offset>) -> Self {
        let default = PageRequest::default();
        PageRequest {
            limit: limit.map_or(default.limit, |Limit(rows)| rows),
            offset: offset.map_or(default.offset, |Offset(rows)| rows),
        }
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        PageRequest { limit: 100, offset: 0 }
    }
}

/// A page of a list, and the length of the list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The total number of rows.
    pub count: u64,
    /// The rows of the page.
    pub rows: Vec<T>,
}
