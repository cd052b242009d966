//! Changes a key's label, scopes, restrictions and expiry.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::{Restrictions, ScopeSet};
use serde::{Deserialize, Serialize};

use super::key_form::{Entered, KeyForm};
use super::row::KeyRow;
use crate::accounts::User;
use crate::accounts::access::KeyAccess;
use crate::keys::{self, Key, KeyError, KeyPatch};
use crate::time::Timestamp;
use crate::validation::Violation;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::form::{Form, Problems};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::outcome::{CompletedChange, Effect};
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::Seals;
use crate::web::ui::unsent::Kept;
use crate::web::ui::visitor::PageUser;

#[derive(Template)]
#[template(path = "keys/edit.html")]
struct EditPage {
    frame: Frame,
    row: KeyRow,
    form: KeyForm,
    /// The key as the form shows it, as JSON.
    shown: String,
}

impl EditPage {
    fn new(user: User, key: Key, now: Timestamp, form: KeyForm, shown: &ShownKey) -> Rendered<Self> {
        let frame = Frame::of(user, Place::Keys, "Edit key");
        let shown = serde_json::to_string(shown).unwrap_or_default();
        Rendered(EditPage { frame, row: KeyRow::new(key, now), form, shown })
    }
}

/// The fields of a key as a form showed them. They come back with the form, because the key may have changed meanwhile.
#[derive(Serialize, Deserialize)]
struct ShownKey {
    label: String,
    scopes: ScopeSet,
    restrictions: Restrictions,
    /// In milliseconds since 1970-01-01 UTC.
    expires_at: Option<i64>,
}

impl ShownKey {
    fn of(key: &Key) -> Self {
        ShownKey {
            label: key.label.clone(),
            scopes: key.scopes.clone(),
            restrictions: key.restrictions.clone(),
            expires_at: key.expires_at.map(Timestamp::unix_ms),
        }
    }

    /// What the form showed when it was sent.
    fn of_form(form: &Form) -> Option<Self> {
        serde_json::from_str(form.get("shown")?).ok()
    }

    /// What the user changed on the form; a problem for each field that somebody else has changed to something else meanwhile.
    fn patch(&self, entered: Entered, key: &Key, problems: &mut Problems) -> KeyPatch {
        let now = ShownKey::of(key);
        let Restrictions { projects, organizations } = entered.restrictions;
        let (shown_ids, ids) = (&self.restrictions, &now.restrictions);
        let mut changed = |field, is_entered: bool, was_changed: bool| {
            if is_entered && was_changed {
                let detail = "This was changed meanwhile. The form shows the key as it is now: enter your change again.";
                problems.check::<()>(field, Err(Violation::input(detail)));
            }
            is_entered
        };
        let expires_at = entered.expires_at.map(|expires_at| expires_at.map(Timestamp::unix_ms));
        let is_label = changed("label", entered.label.as_ref() != self.label, self.label != now.label);
        let is_scopes = !entered.scopes.is_like(&self.scopes);
        let is_scopes = changed("scopes", is_scopes, !self.scopes.is_like(&now.scopes));
        let is_projects =
            changed("scoped_teams", projects != shown_ids.projects, shown_ids.projects != ids.projects);
        let is_organizations = changed(
            "scoped_organizations",
            organizations != shown_ids.organizations,
            shown_ids.organizations != ids.organizations,
        );
        let is_expiry = expires_at.is_some_and(|expires_at| expires_at != self.expires_at);
        let is_expiry = changed("expires_at", is_expiry, self.expires_at != now.expires_at);
        KeyPatch {
            label: Some(entered.label).filter(|_| is_label),
            scopes: Some(entered.scopes).filter(|_| is_scopes),
            projects: Some(projects).filter(|_| is_projects),
            organizations: Some(organizations).filter(|_| is_organizations),
            expires_at: entered.expires_at.filter(|_| is_expiry),
            expected: Some(key.clone()),
        }
    }
}

/// `GET /account/keys/{id}`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
    kept: Kept,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
    let unsent = kept.of(&user);
    let form = KeyForm::of(&state.catalogue, &user, &key, now).again(&unsent, now);
    let shown = unsent.form().and_then(ShownKey::of_form).unwrap_or_else(|| ShownKey::of(&key));
    Ok(EditPage::new(user, key, now, form, &shown).into_response())
}

/// `POST /account/keys/{id}`: saves what differs from what the form showed.
pub(super) async fn submit(
    page_user: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    loop {
        match save(&page_user, &state, &id, &seals, &form).await? {
            Saved::Answered(response) => return Ok(response),
            Saved::ChangedMeanwhile => {}
        }
    }
}

/// The end of one attempt to save.
enum Saved {
    Answered(Response),
    /// The key changed after it was read, so its fields must be compared again.
    ChangedMeanwhile,
}

async fn save(
    PageUser { user, by }: &PageUser,
    state: &AppState,
    id: &str,
    seals: &Seals,
    form: &Form,
) -> Result<Saved, PageError> {
    let now = Timestamp::now();
    let access = KeyAccess::User(&user.id);
    let key = keys::get(&state.store, access, id).await?;
    let shown = ShownKey::of_form(form).unwrap_or_else(|| ShownKey::of(&key));
    let again = |status: StatusCode, key: Key, form: KeyForm, shown: &ShownKey| {
        let page = EditPage::new(user.clone(), key, now, form, shown);
        Ok(Saved::Answered((status, page).into_response()))
    };
    let (mut form, entered) = match KeyForm::of(&state.catalogue, user, &key, now).sent(form, now) {
        Ok(sent) => sent,
        Err(form) => return again(StatusCode::BAD_REQUEST, key, *form, &shown),
    };
    let mut problems = Problems::default();
    let patch = shown.patch(entered, &key, &mut problems);
    if !problems.is_empty() {
        let form = KeyForm { problems, ..KeyForm::of(&state.catalogue, user, &key, now) };
        let shown = ShownKey::of(&key);
        return again(StatusCode::CONFLICT, key, form, &shown);
    }
    state.changes.admit(by)?;
    let (key, propagation) = match keys::update(&state.store, by, access, id, patch).await {
        Ok(updated) => updated,
        Err(KeyError::ChangedMeanwhile) => return Ok(Saved::ChangedMeanwhile),
        Err(KeyError::Invalid(invalid)) => {
            form.problems.add(invalid);
            return again(StatusCode::BAD_REQUEST, key, form, &shown);
        }
        Err(error) => return Err(error.into()),
    };
    let change = CompletedChange {
        name: key.label,
        notes: Vec::new(),
        mask: Some(key.mask_value),
        back: (addresses::KEYS.to_owned(), "Back to your keys".into()),
    };
    let receipt = Receipt::of_change("Key saved", Place::Keys, change);
    let receipt = match propagation {
        Some(propagation) => receipt.and_wait(propagation, Effect::Active),
        None => receipt.and("Saved."),
    };
    let response = receipt.redirect(seals, &format!("{}/{}/saved", addresses::KEYS, key.id), &user.id)?;
    Ok(Saved::Answered(response))
}
