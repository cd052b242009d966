//! A request's JSON object, read field by field so that an error can name the field.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::keys::rules;
use crate::time::Timestamp;
use crate::validation::FieldError;

/// The fields that a request sent. Those that nobody asks for are ignored; an empty body has none.
pub(crate) struct Fields(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = is_json(request.headers());
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::from(rejection.status()))?;
        if body.is_empty() {
            return Ok(Fields(Map::new()));
        }
        if !is_json {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into());
        }
        Self::parse(&body)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case("application/json")
}

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(ApiError::invalid_input("Invalid data. Expected a dictionary.")),
            // The parser's own text could quote what was sent; its position cannot.
            Err(error) => Err(ApiError::parse_error(format!(
                "JSON parse error - line {} column {}",
                error.line(),
                error.column()
            ))),
        }
    }

    /// A text, if the field was sent.
    pub(crate) fn text(&self, field: &'static str) -> Result<Option<&str>, FieldError> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Null) => Err(FieldError::null(field)),
            Some(_) => Err(FieldError::input(field, "Not a valid string.")),
        }
    }

    /// A text that has to be there and not empty.
    pub(crate) fn filled(&self, field: &'static str) -> Result<&str, FieldError> {
        let text = self.text(field)?.ok_or_else(|| FieldError::required(field))?;
        if text.is_empty() { Err(FieldError::blank(field)) } else { Ok(text) }
    }

    /// True or false, if the field was sent.
    pub(crate) fn truth(&self, field: &'static str) -> Result<Option<bool>, FieldError> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(Value::Null) => Err(FieldError::null(field)),
            Some(_) => Err(FieldError::input(field, "Must be a valid boolean.")),
        }
    }

    /// A list of texts or null, if the field was sent.
    pub(crate) fn texts_or_null(&self, field: &'static str) -> Result<Option<Option<Vec<&str>>>, FieldError> {
        match self.0.get(field) {
            Some(Value::Null) => Ok(Some(None)),
            _ => Ok(self.texts(field)?.map(Some)),
        }
    }

    /// A list of texts, if the field was sent.
    pub(crate) fn texts(&self, field: &'static str) -> Result<Option<Vec<&str>>, FieldError> {
        let items = match self.0.get(field) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(Value::Null) => return Err(FieldError::null(field)),
            Some(_) => {
                let detail = "Expected a list of items.".to_owned();
                return Err(FieldError { field, code: "not_a_list", detail });
            }
        };
        let text = |item: &'_ Value| item.as_str().is_none();
        if items.iter().any(text) {
            return Err(FieldError::input(field, "Not a valid string."));
        }
        Ok(Some(items.iter().filter_map(Value::as_str).collect()))
    }

    /// A whole number, if the field was sent.
    pub(crate) fn integer(&self, field: &'static str) -> Result<Option<i64>, FieldError> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Null) => Err(FieldError::null(field)),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| FieldError::input(field, "A valid integer is required.")),
        }
    }

    /// A moment or null, if the field was sent.
    pub(crate) fn moment(&self, field: &'static str) -> Result<Option<Option<Timestamp>>, FieldError> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) => {
                let moment =
                    Timestamp::parse(text).map_err(|error| FieldError::input(field, capital(&error)))?;
                Ok(Some(Some(moment)))
            }
            Some(_) => Err(FieldError::input(field, "Not a valid string.")),
        }
    }

    /// A time to come or null (never), if the field was sent.
    pub(crate) fn future(
        &self,
        field: &'static str,
        now: Timestamp,
    ) -> Result<Option<Option<Timestamp>>, FieldError> {
        match self.moment(field)? {
            Some(Some(moment)) => Ok(Some(Some(rules::expires_at(moment, now)?))),
            absent_or_null => Ok(absent_or_null),
        }
    }
}

fn capital(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + chars.as_str() + ".")
        .unwrap_or_default()
}
