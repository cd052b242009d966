//! The edges that hold a lease now.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::edges::{self, Edges};
use crate::page::PageState;
use crate::page::error::PageError;
use crate::page::frame::{Frame, Page, Place};
use crate::page::visitor::Admin;

#[derive(Template)]
#[template(path = "admin/edges.html")]
struct EdgesPage {
    frame: Frame,
    now: Edges,
}

impl EdgesPage {
    /// How many changes an edge has yet to acknowledge.
    fn lag(&self, edge: &edges::Edge) -> u64 {
        self.now.revision.saturating_sub(edge.acknowledged)
    }
}

/// `GET /admin/edges`.
pub(super) async fn show(
    Admin { user, .. }: Admin,
    State(state): State<PageState>,
) -> Result<Response, PageError> {
    let now = edges::list(&state.database).await?;
    Ok(Page(EdgesPage { frame: Frame::of(user, Place::Edges, "Edges"), now }).into_response())
}
