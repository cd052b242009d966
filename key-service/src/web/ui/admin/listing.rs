//! Which part of a long list is shown, and the way to the others.

use crate::paging::{Page, PageRequest};
use crate::web::params::Params;

/// The foot of a list.
pub(super) struct Listing {
    /// How many rows there are in all.
    pub(super) count: u64,
    /// The first row shown, counted from 1.
    pub(super) first: u64,
    /// The last row shown.
    pub(super) last: u64,
    /// The address of the part after this one.
    pub(super) next: Option<String>,
    /// The address of the part before this one.
    pub(super) previous: Option<String>,
}

impl Listing {
    /// For what was found of the page that the parameters ask for.
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
