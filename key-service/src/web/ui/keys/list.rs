//! The table of the user's own keys.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::row::KeyRow;
use crate::accounts::access::KeyAccess;
use crate::catalogue::Catalogue;
use crate::keys::{self, MAX_KEYS_PER_USER};
use crate::time::Timestamp;
use crate::web::state::AppState;
use crate::web::ui::chips::Chips;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::visitor::PageUser;

#[derive(Template)]
#[template(path = "keys/list.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<KeyRow>,
    catalogue: Arc<Catalogue>,
}

impl ListPage {
    /// How many keys should be rolled.
    fn old(&self) -> usize {
        self.rows.iter().filter(|row| row.is_old()).count()
    }

    fn scopes(&self, row: &KeyRow) -> Chips {
        Chips::new(&row.key().scopes, &self.catalogue)
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= MAX_KEYS_PER_USER
    }
}

/// `GET /account/keys`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let keys = keys::list(&state.store, KeyAccess::User(&user.id), &user.id).await?;
    let rows = keys.into_iter().map(|key| KeyRow::new(key, now)).collect();
    let frame = Frame::of(user, Place::Keys, "Personal API keys");
    Ok(Rendered(ListPage { frame, rows, catalogue: state.catalogue }).into_response())
}
