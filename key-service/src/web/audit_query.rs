//! The parameters that select entries of the audit log.

use deserr::Deserr;
use utoipa::IntoParams;

use crate::audit::{AuditSearch, Since, Until};
use crate::paging::{Limit, Offset, PageRequest};
use crate::validation::FieldErrors;

/// Selects entries, for the API and for the page.
#[derive(Deserr, IntoParams)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// The most entries of a page.
    #[deserr(default)]
    #[param(inline)]
    limit: Option<Limit>,
    /// The number of entries to skip.
    #[deserr(default)]
    #[param(inline)]
    offset: Option<Offset>,
    /// Only this action, or all actions with this prefix, such as `key.`
    #[deserr(default)]
    action: Option<String>,
    /// Only entries by actors whose name, an email address or the label of a token, contains this text.
    #[deserr(default)]
    actor: Option<String>,
    /// Only entries about a user, key or token whose email address or label contains this text.
    #[deserr(default)]
    search: Option<String>,
    /// Only entries about this user, or by this user.
    #[deserr(default)]
    user_id: Option<String>,
    /// Only entries about this key or token.
    #[deserr(default)]
    subject_id: Option<String>,
    /// Only entries at or after this time. A date begins at midnight UTC.
    #[deserr(default)]
    #[param(inline)]
    since: Option<Since>,
    /// Only entries at or before this time. A date includes its whole day in UTC.
    #[deserr(default)]
    #[param(inline)]
    until: Option<Until>,
}

impl From<AuditQuery> for AuditSearch {
    fn from(query: AuditQuery) -> Self {
        AuditSearch {
            action: query.action,
            actor: query.actor,
            concerns: query.search,
            user_id: query.user_id,
            subject_id: query.subject_id,
            since: query.since.map(|Since(time)| time),
            until: query.until.map(|Until(time)| time),
            page: PageRequest::new(query.limit, query.offset),
        }
    }
}
