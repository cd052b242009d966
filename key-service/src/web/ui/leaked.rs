//! The page where anyone who holds a leaked value can end it. The value is never shown, and never part of an address.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::addresses;
use super::error::PageError;
use super::form::{Form, Problems};
use super::frame::{Frame, Place, Rendered};
use super::outcome::CompletedChange;
use super::receipt::Receipt;
use super::sealed::Seals;
use super::sign_in::too_many_attempts;
use crate::keys::holder_reports;
use crate::keys::leaks::{LeakedValues, Report, Source};
use crate::time::Timestamp;
use crate::validation::Violation;
use crate::web::caller::Visitor;
use crate::web::state::AppState;

/// The page after a report.
pub(super) const REPORTED: &str = "/leaked/reported";

/// The source of a report that names none.
const NO_SOURCE: &str = "the page for leaked values";

#[derive(Template)]
#[template(path = "leaked.html")]
struct LeakedPage {
    frame: Frame,
    problems: Problems,
    source: String,
}

impl LeakedPage {
    fn new(source: &str, problems: Problems) -> Rendered<Self> {
        let frame = Frame::outside("Report a leaked key");
        Rendered(LeakedPage { frame, problems, source: source.to_owned() })
    }
}

/// `GET /leaked`.
pub(super) async fn show() -> Response {
    LeakedPage::new("", Problems::default()).into_response()
}

/// `POST /leaked`: ends the value, and leads to the result when every edge refuses it.
pub(super) async fn submit(
    State(state): State<AppState>,
    Visitor(by): Visitor,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let limit = state.leak_reports.as_ref().ok_or_else(|| PageError::of_status(StatusCode::NOT_FOUND))?;
    let source = form.text("source");
    let mut problems = Problems::default();
    let value = form.text("value").trim();
    let values = if value.is_empty() { Err(Violation::blank()) } else { LeakedValues::new([value]) };
    let values = problems.check("value", values);
    let named = if source.trim().is_empty() { NO_SOURCE } else { source };
    let (Some(values), Some(named)) = (values, problems.check("source", named.parse::<Source>())) else {
        return Ok((StatusCode::BAD_REQUEST, LeakedPage::new(source, problems)).into_response());
    };
    if let Err(wait) = limit.admit(&by) {
        problems.add_whole(too_many_attempts(wait));
        let retry_after = [(header::RETRY_AFTER, wait.seconds.to_string())];
        let page = LeakedPage::new(source, problems);
        return Ok((StatusCode::TOO_MANY_REQUESTS, retry_after, page).into_response());
    }
    let report = Report::new(values, named);
    let (results, propagation) = holder_reports::report(&state.store, &by, &report, Timestamp::now()).await?;
    let (title, note) = match results.iter().any(|result| result.live) {
        true => ("The value has ended", "It worked until now. It can never be used again."),
        false => {
            ("The value does not work", "No working key or token has this value. It may have ended before.")
        }
    };
    let change = CompletedChange {
        name: "The value that you entered".to_owned(),
        mask: None,
        notes: vec![note.to_owned()],
        back: (addresses::LEAKED.to_owned(), "Report another value".into()),
    };
    // The page shows no progress: it would reveal the edges to strangers.
    propagation.wait().await.map_err(|error| PageError::internal(&error))?;
    let receipt = Receipt::of_change(title, Place::Outside, change).and("No edge accepts the value.");
    receipt.redirect(&seals, REPORTED, "")
}
