//! A request's query parameters, read one by one so that an error can name the parameter.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use crate::paging::{MAX_LIMIT, Page, PageRequest};
use crate::time::Timestamp;
use crate::validation::FieldError;

/// The parameters of a request's query. Those that nobody asks for are ignored; an empty one counts as absent.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    path: String,
    values: BTreeMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(values) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::invalid_input("The query is malformed."))?;
        let values = values.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Ok(Params { path: parts.uri.path().to_owned(), values })
    }
}

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

/// Which part of a list is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it describes what Params::page reads")]
pub(crate) struct Paging {
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// How many are left out before them.
    #[param(maximum = 2147483647, default = 0)]
    offset: Option<u32>,
}

impl Params {
    /// A parameter, if it was sent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A moment of RFC 3339, if the parameter was sent.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, FieldError> {
        let moment = self.text(name).map(Timestamp::parse).transpose();
        moment.map_err(|_| FieldError::input(name, "Not a time of RFC 3339, such as 2030-01-31T12:00:00Z."))
    }

    /// One of the values that have names, if the parameter was sent.
    pub(crate) fn one_of<T: Copy>(
        &self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, FieldError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let chosen = choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value);
        let names = || choices.iter().map(|(choice, _)| *choice).collect::<Vec<_>>().join(", ");
        chosen.map(Some).ok_or_else(|| FieldError::input(name, format!("Not one of {}.", names())))
    }

    /// `limit` and `offset`.
    pub(crate) fn page(&self) -> Result<PageRequest, FieldError> {
        let number = |name, default, least, most| match self.text(name) {
            None => Ok(default),
            Some(text) => {
                text.parse::<u32>().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
                    FieldError::input(name, format!("Ensure this value is {least} to {most}."))
                })
            }
        };
        let default = PageRequest::default();
        Ok(PageRequest {
            limit: number("limit", default.limit, 1, MAX_LIMIT)?,
            offset: number("offset", default.offset, 0, i32::MAX as u32)?,
        })
    }

    /// The address of another part of the same list.
    pub(crate) fn address(&self, page: PageRequest) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let paging = ["limit", "offset"];
        query.extend_pairs(self.values.iter().filter(|(name, _)| !paging.contains(&name.as_str())));
        query.append_pair("limit", &page.limit.to_string());
        query.append_pair("offset", &page.offset.to_string());
        format!("{}?{}", self.path, query.finish())
    }

    /// The address of the part after this one, if there is more.
    pub(crate) fn next(&self, page: PageRequest, count: u64) -> Option<String> {
        let offset = page.offset.saturating_add(page.limit);
        (u64::from(offset) < count).then(|| self.address(PageRequest { offset, ..page }))
    }

    /// The address of the part before this one, if there is one.
    pub(crate) fn previous(&self, page: PageRequest) -> Option<String> {
        let offset = page.offset.saturating_sub(page.limit);
        (page.offset > 0).then(|| self.address(PageRequest { offset, ..page }))
    }

    /// A part of a list as JSON shows it.
    pub(crate) fn view<T>(&self, page: PageRequest, found: Page<T>) -> PageView<T> {
        PageView {
            count: found.count,
            next: self.next(page, found.count),
            previous: self.previous(page),
            results: found.rows,
        }
    }
}
