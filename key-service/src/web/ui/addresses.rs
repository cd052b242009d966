//! The addresses of pages that other pages link to.

use super::reason::Reason;

/// The user's own keys: the start page.
pub(in crate::web::ui) const KEYS: &str = "/account/keys";

/// All users.
pub(in crate::web::ui) const USERS: &str = "/admin/users";

/// The keys of all users.
pub(in crate::web::ui) const ALL_KEYS: &str = "/admin/keys";

/// The management tokens.
pub(in crate::web::ui) const TOKENS: &str = "/admin/tokens";

/// The audit log.
pub(in crate::web::ui) const AUDIT: &str = "/admin/audit";

/// The download of entries of the audit log.
pub(in crate::web::ui) const AUDIT_DOWNLOAD: &str = "/admin/audit/download";

/// The edges.
pub(in crate::web::ui) const EDGES: &str = "/admin/edges";

/// The page that ends leaked values.
pub(in crate::web::ui) const LEAKED: &str = "/leaked";

/// The address of the sign-in page, which then leads to `next`.
pub(in crate::web::ui) fn sign_in(next: &str, reason: Option<Reason>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("next", next);
    if let Some(reason) = reason {
        query.append_pair("reason", reason.as_ref());
    }
    format!("/sign-in?{}", query.finish())
}
