//! A part of a list as JSON shows it, and the addresses of the other parts.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::paging::{Page, PageRequest};

/// A part of a list as JSON shows it, with the addresses of the parts before and after it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageView<T> {
    /// How many there are in all.
    count: u64,
    /// Path and query of the part after this one.
    #[schema(required)]
    next: Option<String>,
    /// Path and query of the part before this one.
    #[schema(required)]
    previous: Option<String>,
    /// This part.
    results: Vec<T>,
}

/// Path and query of a request for a part of a list.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    path: String,
    params: BTreeMap<String, String>,
}

impl Address {
    pub(crate) fn new(path: &str, params: BTreeMap<String, String>) -> Self {
        Address { path: path.to_owned(), params }
    }

    /// The address of another part of the same list.
    fn of(&self, page: PageRequest) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let paging = ["limit", "offset"];
        query.extend_pairs(self.params.iter().filter(|(name, _)| !paging.contains(&name.as_str())));
        query.append_pair("limit", &page.limit.to_string());
        query.append_pair("offset", &page.offset.to_string());
        format!("{}?{}", self.path, query.finish())
    }

    /// The address of the part after this one, if there is more.
    pub(crate) fn next(&self, page: PageRequest, count: u64) -> Option<String> {
        let offset = page.offset.saturating_add(page.limit);
        (u64::from(offset) < count).then(|| self.of(PageRequest { offset, ..page }))
    }

    /// The address of the part before this one, if there is one.
    pub(crate) fn previous(&self, page: PageRequest) -> Option<String> {
        let offset = page.offset.saturating_sub(page.limit);
        (page.offset > 0).then(|| self.of(PageRequest { offset, ..page }))
    }

    /// The part that was found, as JSON shows it.
    pub(crate) fn view<T>(&self, page: PageRequest, found: Page<T>) -> PageView<T> {
        PageView {
            count: found.count,
            next: self.next(page, found.count),
            previous: self.previous(page),
            results: found.rows,
        }
    }
}
