//! The edges that hold a lease now.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::revocation::edges::{self, Edges};
use crate::web::state::AppState;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/edges.html")]
struct EdgesPage {
    frame: Frame,
    now: Edges,
}

impl EdgesPage {
    /// A text of the edge's Envoy.
    fn known<'t>(&self, text: &'t Option<String>) -> &'t str {
        text.as_deref().unwrap_or("unknown")
    }

    /// How many changes an edge has not acknowledged yet.
    fn lag(&self, edge: &edges::Edge) -> u64 {
        self.now.revision.saturating_sub(edge.acknowledged)
    }
}

/// `GET /admin/edges`.
pub(super) async fn show(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let now = edges::list(&state.store).await?;
    Ok(Rendered(EdgesPage { frame: Frame::of(user, Place::Edges, "Edges"), now }).into_response())
}
