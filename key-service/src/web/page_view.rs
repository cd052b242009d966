//! A page of a list as JSON, with the addresses of the other pages.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::paging::{Page, PageRequest};

/// A page of a list, with the addresses of the previous and next pages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageView<T> {
    /// The total number of items.
    count: u64,
    /// Path and query of the next page.
    #[schema(required)]
    next: Option<String>,
    /// Path and query of the previous page.
    #[schema(required)]
    previous: Option<String>,
    /// The items of this page.
    results: Vec<T>,
}

/// Path and query of a request for a page of a list.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    path: String,
    params: BTreeMap<String, String>,
}

impl Address {
    pub(crate) fn new(path: &str, params: BTreeMap<String, String>) -> Self {
        Address { path: path.to_owned(), params }
    }

    /// The address of another page of the same list.
    fn of(&self, page: PageRequest) -> String {
        let mut query = self.query();
        query.append_pair("limit", &page.limit.to_string());
        query.append_pair("offset", &page.offset.to_string());
        format!("{}?{}", self.path, query.finish())
    }

    /// The address of the same list, without a page, at another path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{path}?{}", self.query().finish())
    }

    /// The parameters without those of a page.
    fn query(&self) -> form_urlencoded::Serializer<'static, String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let paging = ["limit", "offset"];
        query.extend_pairs(self.params.iter().filter(|(name, _)| !paging.contains(&name.as_str())));
        query
    }

    /// The address of the next page, if any.
    pub(crate) fn next(&self, page: PageRequest, count: u64) -> Option<String> {
        let offset = page.offset.saturating_add(page.limit);
        (u64::from(offset) < count).then(|| self.of(PageRequest { offset, ..page }))
    }

    /// The address of the previous page, if any.
    pub(crate) fn previous(&self, page: PageRequest) -> Option<String> {
        let offset = page.offset.saturating_sub(page.limit);
        (page.offset > 0).then(|| self.of(PageRequest { offset, ..page }))
    }

    /// The JSON form of the rows that were found.
    pub(crate) fn view<T>(&self, page: PageRequest, found: Page<T>) -> PageView<T> {
        PageView {
            count: found.count,
            next: self.next(page, found.count),
            previous: self.previous(page),
            results: found.rows,
        }
    }
}
