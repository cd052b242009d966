//! The fields that a form sent, and their problems.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};

use super::error::PageError;
use crate::audit::Actor;
use crate::idempotency::RepeatableRequest;
use crate::random;
use crate::validation::{FieldError, Violation};
use crate::web::error::ApiError;

/// The fields of a form, or of an address's query, in the order in which they were sent. A field can be a password, so there is
/// no `Debug`.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`. Every text is one.
    pub(super) fn parse(text: &[u8]) -> Self {
        Form(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The field's text; empty if it was not sent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The field's text, if it was sent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str())
    }
}

impl Form {
    /// This field and the form, as a cookie can hold them, without passwords.
    pub(super) fn to_keep(&self, field: &str, value: &str) -> String {
        let entered = self.0.iter().filter(|(name, _)| !name.ends_with("password"));
        let mut kept = form_urlencoded::Serializer::new(String::new());
        kept.append_pair(field, value).extend_pairs(entered).finish()
    }

    /// The request of this caller, if the form has an id of its own. A double click sends the same form twice. The same form
    /// with other fields, from a page that the browser kept, is another request.
    pub(super) fn repeatable(&self, by: &Actor) -> Option<RepeatableRequest> {
        self.get("form_id").filter(|id| !id.is_empty())?;
        let sent = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        Some(RepeatableRequest::new(by, &format!("form\n{sent}"), ""))
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::from(rejection.status()))?;
        if !is_form && !body.is_empty() {
            return Err(ApiError::from(StatusCode::UNSUPPORTED_MEDIA_TYPE).into());
        }
        Ok(Form::parse(&body))
    }
}

/// The id of a form that is shown now.
pub(super) fn new_form_id() -> String {
    random::uuid().to_string()
}

/// A problem of a form.
#[derive(Debug)]
pub(super) struct Problem {
    /// The field's name, and the id of its element; empty for the form as a whole.
    pub(super) field: Cow<'static, str>,
    /// What the page calls the field; empty for the form as a whole.
    pub(super) title: Cow<'static, str>,
    /// The problem, for people.
    pub(super) detail: String,
}

/// All problems of a form.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Returns a valid value of a field, or adds its problem.
    pub(super) fn check<T>(&mut self, field: &'static str, value: Result<T, Violation>) -> Option<T> {
        value.map_err(|violation| self.add(violation.of(field))).ok()
    }

    /// Adds a problem of a field.
    pub(super) fn add(&mut self, FieldError { field, violation, .. }: FieldError) {
        self.0.push(Problem { title: title(field.clone()), field, detail: violation.detail });
    }

    /// Adds a problem of the form as a whole.
    pub(super) fn add_whole(&mut self, detail: impl Into<String>) {
        self.0.push(Problem { field: "".into(), title: "".into(), detail: detail.into() });
    }

    /// The first problem of a field, if any.
    pub(super) fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|problem| problem.field == field).map(|problem| problem.detail.as_str())
    }

    /// All problems, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether there is no problem.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name of an API field on the pages.
fn title(field: Cow<'static, str>) -> Cow<'static, str> {
    let title = match field.as_ref() {
        "email" => "Email",
        "name" => "Name",
        "password" => "Password",
        "current_password" => "Current password",
        "repeated_password" => "Repeat the password",
        "label" => "Label",
        "scopes" => "Access",
        "scoped_teams" => "Projects",
        "scoped_organizations" => "Organizations",
        "expires_at" => "Expires",
        "grace_s" => "The old value",
        "users" => "Email addresses",
        "can" => "Can",
        "value" => "Key or token",
        "source" => "Where you found it",
        _ => return field,
    };
    title.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_form_has_no_passwords_and_fits_into_a_cookie() {
        let form = Form::parse("label=a%3B+\"b\",\\%C3%A9&password=x&repeated_password=x".as_bytes());
        assert_eq!(form.to_keep("path", "/a;b"), "path=%2Fa%3Bb&label=a%3B+%22b%22%2C%5C%C3%A9");
        assert_eq!(Form::parse(b"current_password=x").to_keep("path", "/"), "path=%2F");
    }

    #[test]
    fn a_field_is_decoded_and_the_first_of_a_name_counts() {
        let form = Form::parse(b"label=a+%26%20b&label=c&empty=&%ff=x");
        assert_eq!(form.text("label"), "a & b");
        assert_eq!(form.text("empty"), "");
        assert_eq!(form.text("absent"), "");
    }
}
