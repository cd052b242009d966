//! The body of every error: `type`, `code`, `detail` and `attr`, as in PostHog's API, and `errors` with every invalid field.

use std::borrow::Cow;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::ApiKey;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::throttle::rate_limit::Wait;
use crate::accounts::AccountError;
use crate::accounts::authority::AuthorityError;
use crate::accounts::links::LinkError;
use crate::accounts::management_tokens::{Refusal, TokenError};
use crate::db;
use crate::idempotency::RepetitionError;
use crate::keys::KeyError;
use crate::keys::leaks::LeakError;
use crate::revocation::propagation::PropagationError;
use crate::telemetry::METRICS;
use crate::validation::{FieldError, FieldErrors};

/// An error response.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    retry_after_s: Option<u64>,
    body: Box<Body>,
    /// Why the caller's management token is refused, if that is the error.
    refusal: Option<Refusal>,
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Body {
    /// The kind of error.
    r#type: &'static str,
    /// A code for programs.
    code: &'static str,
    /// A text for people.
    detail: String,
    /// The invalid field or parameter.
    #[schema(required)]
    attr: Option<Cow<'static, str>>,
    /// Every invalid field and parameter, in the order of this document, unknown ones last; at most 20. `code`, `detail` and
    /// `attr` repeat the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(inline, required = false, min_items = 1, max_items = 20)]
    errors: Vec<ErrorItem>,
    /// The new value of a key that was rolled, if not every edge has acknowledged that. No other answer has it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "revealed")]
    #[schema(value_type = String, required = false)]
    value: Option<ApiKey>,
}

fn revealed<S: Serializer>(value: &Option<ApiKey>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ApiKey::reveal).serialize(serializer)
}

/// The most problems that a response lists.
const MAX_ITEMS: usize = 20;

/// One problem of a request.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorItem {
    /// A code for programs.
    code: &'static str,
    /// A text for people.
    detail: String,
    /// The field, parameter, or list item counted from 0: `label`, `values[3]`.
    attr: Cow<'static, str>,
}

impl ApiError {
    fn new(status: StatusCode, r#type: &'static str, code: &'static str, detail: impl Into<String>) -> Self {
        ApiError {
            status,
            retry_after_s: None,
            body: Box::new(Body {
                r#type,
                code,
                detail: detail.into(),
                attr: None,
                errors: Vec::new(),
                value: None,
            }),
            refusal: None,
        }
    }

    /// 401: no credentials were sent.
    pub(crate) fn not_authenticated() -> Self {
        let detail = "Authentication credentials were not provided.";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "not_authenticated", detail)
    }

    /// 401: the credentials are invalid, or not accepted here.
    pub(crate) fn authentication_failed(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "authentication_failed", detail)
    }

    /// 403.
    pub(crate) fn permission_denied(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "authentication_error", "permission_denied", detail)
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request", "not_found", "Not found.")
    }

    /// 400: the body is not JSON.
    pub(crate) fn parse_error(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", "parse_error", detail)
    }

    /// 400: the request as a whole is invalid.
    pub(crate) fn invalid_input(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_error", "invalid_input", detail)
    }

    /// 503: the database failed. The cause is only logged.
    pub(crate) fn unavailable(error: &dyn std::error::Error) -> Self {
        METRICS.database_failed();
        tracing::error!(error = %error, "the database failed");
        let detail = "The key service is unavailable.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "unavailable", detail);
        ApiError { retry_after_s: Some(1), ..error }
    }

    /// 500. The cause is only logged.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "a request failed");
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR, &Method::GET)
    }

    /// The response's status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The seconds to wait before a retry, if known.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// The body for a status that a library chose.
    fn of_status(status: StatusCode, method: &Method) -> Self {
        let invalid = |code, detail: &str| Self::new(status, "invalid_request", code, detail);
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => {
                invalid("method_not_allowed", &format!("Method \"{method}\" not allowed."))
            }
            StatusCode::REQUEST_TIMEOUT => invalid("request_timeout", "The request took too long."),
            StatusCode::PAYLOAD_TOO_LARGE => invalid("request_too_large", "The request body is too large."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                invalid("unsupported_media_type", "Unsupported media type in request. Send application/json.")
            }
            status if status.is_client_error() => invalid("invalid", "The request is malformed."),
            _ => Self::new(status, "server_error", "error", "A server error occurred."),
        }
    }
}

impl From<StatusCode> for ApiError {
    fn from(status: StatusCode) -> Self {
        Self::of_status(status, &Method::GET)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(refusal) = self.refusal {
            response.extensions_mut().insert(refusal);
        }
        response
    }
}

impl From<Wait> for ApiError {
    /// 429, with the seconds to wait.
    fn from(Wait { seconds }: Wait) -> Self {
        let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled_error", "throttled", detail);
        ApiError { retry_after_s: Some(seconds), ..error }
    }
}

impl From<FieldErrors> for ApiError {
    /// 400, with every problem.
    fn from(errors: FieldErrors) -> Self {
        let problem = |error: &FieldError| ErrorItem {
            code: error.violation.code,
            detail: error.violation.detail.clone(),
            attr: error.path(),
        };
        let problems = errors.iter().take(MAX_ITEMS).map(problem).collect();
        let Some(FieldError { field, violation, .. }) = errors.into_iter().next() else {
            return Self::invalid_input("Invalid data.");
        };
        let mut error =
            Self::new(StatusCode::BAD_REQUEST, "validation_error", violation.code, violation.detail);
        error.body.attr = Some(field);
        error.body.errors = problems;
        error
    }
}

impl From<FieldError> for ApiError {
    /// 400.
    fn from(error: FieldError) -> Self {
        FieldErrors::from(error).into()
    }
}

impl From<db::Error> for ApiError {
    /// 503, or 400 if the request has a text that the database cannot store.
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Nul => Self::invalid_input("A text has the character U+0000."),
            error => Self::unavailable(&error),
        }
    }
}

impl ApiError {
    /// 503: a key was rolled, and the wait for the edges failed. The old value may have ended, so the answer has the new one; a
    /// repetition of the request cannot return it.
    pub(crate) fn rolled(error: PropagationError, value: Option<ApiKey>) -> Self {
        let mut unavailable = Self::from(error);
        if value.is_some() {
            unavailable.body.detail = "The key has a new value, which is in `value` and is shown only here, but not every edge \
                                       has acknowledged it. Only a repetition with the same Idempotency-Key waits again; \
                                       another one rolls the key again."
                .to_owned();
            unavailable.body.value = value;
        }
        unavailable
    }
}

impl From<PropagationError> for ApiError {
    /// 503. If the caller repeats the change, the answer comes when every edge has applied it.
    fn from(error: PropagationError) -> Self {
        let mut unavailable = Self::unavailable(&error);
        unavailable.body.detail =
            "The change is saved, but not every edge has acknowledged it. Repeat the request to wait again."
                .to_owned();
        unavailable
    }
}

impl From<tower_sessions::session::Error> for ApiError {
    fn from(error: tower_sessions::session::Error) -> Self {
        Self::unavailable(&error)
    }
}

impl From<AuthorityError> for ApiError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::SessionEnded => Self::authentication_failed(&error.to_string()),
            AuthorityError::Token(refusal) => refusal.into(),
            AuthorityError::NotAdmin => Self::permission_denied(&error.to_string()),
            AuthorityError::Database(error) => error.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    /// 401. The answer carries the refusal as an extension, for the audit log.
    fn from(refusal: Refusal) -> Self {
        let error = Self::authentication_failed(&refusal.to_string());
        ApiError { refusal: Some(refusal), ..error }
    }
}

impl From<LeakError> for ApiError {
    fn from(error: LeakError) -> Self {
        match error {
            LeakError::Authority(error) => error.into(),
            LeakError::Database(error) => error.into(),
        }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::TooMany(_)
            | KeyError::TooManyOldValues
            | KeyError::Expired
            | KeyError::ChangedMeanwhile
            | KeyError::ValueTaken
            | KeyError::ValueRevoked => Self::invalid_input(error.to_string()),
            KeyError::Invalid(invalid) => invalid.into(),
            KeyError::Authority(error) => error.into(),
            KeyError::NoSuchUser => FieldError::input("user_id", "There is no user with this id.").into(),
            KeyError::NotFound => Self::not_found(),
            KeyError::Repetition(error) => error.into(),
            KeyError::Randomness(error) => Self::internal(&error),
            KeyError::Database(error) => error.into(),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Invalid(invalid) => invalid.into(),
            AccountError::Authority(error) => error.into(),
            AccountError::EmailTaken(_) => FieldError::input("email", error.to_string()).into(),
            AccountError::NoSuchUser(_) | AccountError::NotFound | AccountError::NoSuchIdentity => {
                Self::not_found()
            }
            AccountError::LastAdmin => {
                Self::invalid_input("This is the last active admin. Create another admin first.")
            }
            AccountError::DeletesSelf => Self::invalid_input("You cannot delete yourself."),
            AccountError::UnlinksSelf => {
                Self::invalid_input("You cannot unlink your own account at a provider.")
            }
            AccountError::IdentityTaken | AccountError::IssuerTaken(_) | AccountError::ServiceAccount => {
                Self::invalid_input(error.to_string())
            }
            AccountError::InPerson | AccountError::DecidedByGroups(_) => {
                Self::permission_denied(&error.to_string())
            }
            AccountError::Disabled(_) => Self::invalid_input("This user is disabled. Enable the user first."),
            AccountError::WrongPassword => {
                FieldError::input("current_password", "This is not your current password.").into()
            }
            AccountError::Password(error) => Self::internal(&error),
            AccountError::Database(error) => error.into(),
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid(invalid) => invalid.into(),
            TokenError::Authority(error) => error.into(),
            TokenError::NotFound => Self::not_found(),
            TokenError::Repetition(error) => error.into(),
            TokenError::Randomness(error) => Self::internal(&error),
            TokenError::Database(error) => error.into(),
        }
    }
}

impl From<RepetitionError> for ApiError {
    /// 422, or 503.
    fn from(error: RepetitionError) -> Self {
        match error {
            RepetitionError::OtherRequest => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "validation_error", "idempotency_key_reused", error.to_string())
            }
            RepetitionError::Database(error) => error.into(),
        }
    }
}

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Account(error) => error.into(),
            LinkError::NotFound => Self::not_found(),
            LinkError::Randomness(error) => Self::internal(&error),
            LinkError::Database(error) => error.into(),
        }
    }
}

/// Gives errors that a library answered (unknown route, unknown method, failed extractor) the same body as the service's own
/// errors.
pub(crate) async fn complete_errors(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    let json = HeaderValue::from_static("application/json");
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(header::CONTENT_TYPE) == Some(&json) {
        return response;
    }
    let completed = ApiError::of_status(status, &method).into_response();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    *response.body_mut() = completed.into_body();
    response
}
