//! Asks before a change of a user's role or access.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::user::{UNLINK, find};
use crate::accounts::{User, openid};
use crate::web::state::AppState;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/user_confirm.html")]
struct UserConfirmPage {
    frame: Frame,
    user: User,
    /// The value of the button that makes the change.
    action: String,
    button: &'static str,
    /// What the change does.
    texts: Vec<&'static str>,
    /// The provider and the subject of the account that is unlinked.
    account: Option<(String, String)>,
}

/// `GET /admin/users/{id}/confirm/{action}`.
pub(super) async fn show(
    PageAdmin { user: admin, .. }: PageAdmin,
    State(state): State<AppState>,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, PageError> {
    if admin.id == id {
        return Err(PageError::of_status(StatusCode::BAD_REQUEST));
    }
    let user = find(&state, &id).await?;
    let identity = match action.strip_prefix(UNLINK) {
        Some(identity_id) => {
            let of_user = openid::of_user(&state.store, &user.id).await?;
            let identity = of_user.into_iter().find(|identity| identity.id == identity_id);
            Some(identity.ok_or_else(|| PageError::of_status(StatusCode::NOT_FOUND))?)
        }
        None => None,
    };
    let ends_tokens = "The management tokens that the user created stop working permanently.";
    let (button, mut texts) = match action.as_str() {
        "make_admin" if !user.kind.is_service() => (
            "Make an admin",
            vec![
                "An admin manages all users, tokens and keys.",
                "The user is signed out, and the user's link stops working. A password that was set with a management \
                 token is removed. Management tokens that name this user stop working.",
            ],
        ),
        "make_member" => ("Make a member", vec!["The user then manages only their own keys."]),
        "disable" => (
            "Disable user",
            vec![
                "All keys of the user stop working, and the user is signed out. The keys work again when the user is enabled.",
            ],
        ),
        _ if identity.is_some() => (
            "Unlink account",
            vec![
                "The user can no longer sign in with this account at the provider, and is signed out. The user's keys keep working.",
                "Only an operator can link the account again, on the command line.",
            ],
        ),
        _ => return Err(PageError::of_status(StatusCode::NOT_FOUND)),
    };
    if user.is_admin && identity.is_none() {
        texts.push(ends_tokens);
    }
    let account = identity.map(|identity| (state.providers.title_of(&identity.issuer), identity.subject));
    let frame = Frame::of(admin, Place::Users, button);
    Ok(Rendered(UserConfirmPage { frame, user, action, button, texts, account }).into_response())
}
