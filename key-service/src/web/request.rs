//! Reads the input of a request into a struct: the JSON body ([`Fields`]) and the query ([`Params`]). An error lists every
//! problem of the request.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use deserr::{DeserializeError, Deserr, IntoValue, MergeWithError, ValuePointerRef};
use protocol::{Scope, ScopeSet};
use serde_json::{Map, Value};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema};

use super::error::ApiError;
use super::page_view::Address;
use crate::catalogue::Catalogue;
use crate::keys::rules::{self, Expiry};
use crate::time::Timestamp;
use crate::validation::{FieldError, FieldErrors, Violation};

#[cfg(test)]
mod tests;

/// The JSON object in a request's body. An empty body counts as an object without fields. Query parameters are refused.
pub(crate) struct Fields<T>(pub(crate) T);

impl<T: Deserr<FieldErrors> + PartialSchema, S: Send + Sync> FromRequest<S> for Fields<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let sent = ScopedFields::from_request(request, state).await?;
        Ok(Fields(sent.fields?))
    }
}

/// The same for a body that names scopes. Which of them are valid depends on the catalogue and on the scopes held so far,
/// so [`ScopedFields::check`] and [`ScopedFields::check_change`] report every problem.
pub(crate) struct ScopedFields<T> {
    sent: Map<String, Value>,
    fields: Result<T, FieldErrors>,
}

impl<T> ScopedFields<T> {
    /// The value of a field as it was sent, before it was checked.
    pub(crate) fn sent(&self, field: &str) -> Option<&Value> {
        self.sent.get(field)
    }

    /// Adds the problem that a field is missing, if it is. It is one of the optional ones, which this caller has to send.
    #[must_use]
    pub(crate) fn require(self, field: &'static str) -> Self {
        if self.sent.contains_key(field) {
            return self;
        }
        let mut errors = self.fields.err().unwrap_or_default();
        errors.extend(FieldError::required(field).into());
        ScopedFields { fields: Err(errors), ..self }
    }
}

impl<T: PartialSchema> ScopedFields<T> {
    /// The fields, if each scope in the field `list` is in the catalogue, and everything else is valid.
    pub(crate) fn check(self, list: &'static str, catalogue: &Catalogue) -> Result<T, ApiError> {
        let unknown = self.unknown(list, catalogue, &ScopeSet::default());
        self.unless(unknown)
    }

    /// The same, but scopes that `held` includes are valid too. `held` reads the database, so it is only awaited for a scope
    /// that is not in the catalogue.
    pub(crate) async fn check_change<E>(
        self,
        list: &'static str,
        catalogue: &Catalogue,
        held: impl Future<Output = Result<ScopeSet, E>>,
    ) -> Result<T, ApiError>
    where
        ApiError: From<E>,
    {
        let mut unknown = self.unknown(list, catalogue, &ScopeSet::default());
        if !unknown.is_empty() {
            unknown = self.unknown(list, catalogue, &held.await?);
        }
        self.unless(unknown)
    }

    /// The scopes that are neither in the catalogue nor included in `held`.
    fn unknown(&self, list: &'static str, catalogue: &Catalogue, held: &ScopeSet) -> FieldErrors {
        let unknown = |(item, text): (usize, &Value)| {
            // If it is not well-formed, this is reported already.
            let scope: Scope = text.as_str()?.parse().ok()?;
            let violation = rules::within_catalogue(&scope, catalogue, held).err()?;
            Some(FieldError { field: list.into(), item: Some(item), violation })
        };
        let items = self.sent.get(list).and_then(Value::as_array).into_iter().flatten();
        items.enumerate().filter_map(unknown).collect()
    }

    /// The fields, unless they or their scopes are invalid.
    fn unless(self, unknown: FieldErrors) -> Result<T, ApiError> {
        match self.fields {
            Ok(fields) if unknown.is_empty() => Ok(fields),
            fields => {
                let mut errors = fields.err().unwrap_or_default();
                errors.extend(unknown);
                Err(errors.in_order_of(&declared::<T>()).into())
            }
        }
    }
}

impl<T: Deserr<FieldErrors> + PartialSchema, S: Send + Sync> FromRequest<S> for ScopedFields<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = is_json(request.headers());
        let params = sent_params(request.uri())?;
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::from(rejection.status()))?;
        if !body.is_empty() && !is_json {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into());
        }
        let sent = if body.is_empty() { Map::new() } else { object(&body)? };
        let params = read::<NoParams>(values(&params));
        let fields = read::<T>(sent.clone()).map_err(|errors| errors.in_order_of(&declared::<T>()));
        let fields = match (fields, params) {
            (Ok(fields), Ok(_)) => Ok(fields),
            (fields, params) => {
                let mut errors = fields.err().unwrap_or_default();
                errors.extend(params.err().unwrap_or_default());
                Err(errors)
            }
        };
        Ok(ScopedFields { sent, fields })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(ApiError::invalid_input("Invalid data. Expected a dictionary.")),
        // The parser's text could quote the input; its position cannot.
        Err(error) => Err(ApiError::parse_error(format!(
            "JSON parse error - line {} column {}",
            error.line(),
            error.column()
        ))),
    }
}

/// The parameters of a request's query. An empty parameter counts as absent. If a name repeats, the last value counts.
pub(crate) struct Params<T> {
    /// The parameters.
    pub(crate) sent: T,
    /// The request's own address.
    pub(crate) address: Address,
}

/// For requests without parameters.
#[derive(Deserr, IntoParams)]
#[deserr(deny_unknown_fields)]
pub(crate) struct NoParams {}

impl<T: Deserr<FieldErrors> + IntoParams, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(&parts.uri, sent_params(&parts.uri)?)
    }
}

impl<T: Deserr<FieldErrors> + IntoParams> Params<T> {
    /// Like the extractor, but ignores parameters that it does not know.
    pub(crate) fn known(uri: &Uri) -> Result<Self, ApiError> {
        let mut params = sent_params(uri)?;
        let documented = Self::documented();
        params.retain(|name, _| documented.contains(name));
        Self::read(uri, params)
    }

    fn read(uri: &Uri, params: BTreeMap<String, String>) -> Result<Self, ApiError> {
        let in_order = |errors: FieldErrors| errors.in_order_of(&Self::documented());
        let sent = read(values(&params)).map_err(in_order)?;
        Ok(Params { sent, address: Address::new(uri.path(), params) })
    }

    fn documented() -> Vec<String> {
        let documented = T::into_params(|| Some(ParameterIn::Query));
        documented.into_iter().map(|param| param.name).collect()
    }
}

fn sent_params(uri: &Uri) -> Result<BTreeMap<String, String>, ApiError> {
    let Query(params) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| ApiError::invalid_input("The query is malformed."))?;
    Ok(params.into_iter().filter(|(_, text)| !text.is_empty()).collect())
}

fn values(params: &BTreeMap<String, String>) -> Map<String, Value> {
    params.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect()
}

fn read<T: Deserr<FieldErrors>>(fields: Map<String, Value>) -> Result<T, FieldErrors> {
    deserr::deserialize(Value::Object(fields))
}

/// The names of a body's fields, in the order of the struct and of the OpenAPI document.
fn declared<T: PartialSchema>() -> Vec<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

/// An expiry must be later than the time at which the request is read.
impl<E: DeserializeError + MergeWithError<Violation>> Deserr<E> for Expiry {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, E> {
        let moment = Timestamp::deserialize_from_value(value, location)?;
        Expiry::new(moment, Timestamp::now())
            .map_err(|violation| deserr::take_cf_content(E::merge(None, violation, location)))
    }
}
