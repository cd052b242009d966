//! The page of a long list, with links to the next and previous ones.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use deserr::Deserr;
use utoipa::IntoParams;

use crate::paging::{Page, PageRequest};
use crate::validation::FieldErrors;
use crate::web::page_view::Address;
use crate::web::request::Params;
use crate::web::ui::error::PageError;

/// The parameters of a page's query. Unlike the API, a page ignores parameters that it does not know: mail programs and chats
/// add `utm_source`, `fbclid` and the like to links that are shared.
pub(super) struct PageParams<T>(pub(super) Params<T>);

impl<T: Deserr<FieldErrors> + IntoParams, S: Send + Sync> FromRequestParts<S> for PageParams<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        Ok(PageParams(Params::known(&parts.uri)?))
    }
}

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
    pub(super) fn new<T>(address: &Address, page: PageRequest, found: &Page<T>) -> Self {
        let first = u64::from(page.offset) + 1;
        Listing {
            count: found.count,
            first,
            last: first + found.rows.len() as u64 - 1,
            next: address.next(page, found.count),
            previous: address.previous(page),
        }
    }
}
