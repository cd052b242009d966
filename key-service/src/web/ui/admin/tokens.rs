//! The management tokens.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::accounts::management_tokens::{self, ManagementToken};
use crate::time::Timestamp;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::moment::Moment;
use crate::web::ui::outcome::CompletedChange;
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::Seals;
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/tokens.html")]
struct TokensPage {
    frame: Frame,
    tokens: Vec<ManagementToken>,
    now: Timestamp,
}

impl TokensPage {
    fn moment(&self, at: &Timestamp) -> Moment {
        Moment::new(*at, self.now)
    }

    fn has_expired(&self, token: &ManagementToken) -> bool {
        token.expires_at.is_some_and(|at| at <= self.now)
    }
}

/// `GET /admin/tokens`.
pub(super) async fn show(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let tokens = management_tokens::list(&state.store).await?;
    let frame = Frame::of(user, Place::Tokens, "Management tokens");
    Ok(Rendered(TokensPage { frame, tokens, now: Timestamp::now() }).into_response())
}

#[derive(Template)]
#[template(path = "admin/token_revoke.html")]
struct RevokePage {
    frame: Frame,
    token: ManagementToken,
    last_used: Option<Moment>,
}

/// `GET /admin/tokens/{id}/revoke`.
pub(super) async fn confirm_revoke(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let tokens = management_tokens::list(&state.store).await?;
    let token = tokens.into_iter().find(|token| token.id == id);
    let token = token.ok_or_else(|| PageError::of_status(StatusCode::NOT_FOUND))?;
    let frame = Frame::of(user, Place::Tokens, "Revoke token");
    let last_used = token.last_used_at.map(|at| Moment::new(at, Timestamp::now()));
    Ok(Rendered(RevokePage { frame, token, last_used }).into_response())
}

/// `POST /admin/tokens/{id}/revoke`.
pub(super) async fn revoke(
    PageAdmin { user, by }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
) -> Result<Response, PageError> {
    let token = management_tokens::revoke(&state.store, &by, &id).await?;
    let change = CompletedChange {
        name: token.label,
        notes: Vec::new(),
        mask: Some(token.mask_value),
        back: (addresses::TOKENS.to_owned(), "Back to the tokens".into()),
    };
    let receipt =
        Receipt::of_change("Token revoked", Place::Tokens, change).and("The token no longer works.");
    receipt.redirect(&seals, &format!("{}/{id}/revoked", addresses::TOKENS), &user.id)
}
