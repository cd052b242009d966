//! The page of a long list, with links to the next and previous ones.

use crate::paging::{Page, PageRequest};
use crate::web::params::Params;

/// The foot of a list.
pub(super) struct Listing {
    /// The total number of rows.
    pub(super) count: u64,
    /// The number of the first row shown, from 1.
    pub(super) first: u64,
    /// The number of the last row shown.
    pub(super) last: u64,
    /// The address of the next page.
    pub(super) next: Option<String>,
    /// The address of the previous page.
    pub(super) previous: Option<String>,
}

impl Listing {
    /// For the rows of the requested page.
    pub(super) fn new<T>(params: &Params, page: PageRequest, found: &Page<T>) -> Self {
        let first = u64::from(page.offset) + 1;
        Listing {
            count: found.count,
            first,
            last: first + found.rows.len() as u64 - 1,
            next: params.next(page, found.count),
            previous: params.previous(page),
        }
    }
}
