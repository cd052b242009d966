//! One user: permissions, status, role, and a link to set a password.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::ScopeSet;

use crate::accounts::openid::{self, LinkedIdentity};
use crate::accounts::{self, User, UserPatch, links};
use crate::audit::Actor;
use crate::time::Timestamp;
use crate::web::public_url;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::form::{Form, Problems};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::moment::Moment;
use crate::web::ui::outcome::{CompletedChange, Effect};
use crate::web::ui::picker::Picker;
use crate::web::ui::receipt::{self, EndedPage, Receipt};
use crate::web::ui::sealed::Seals;
use crate::web::ui::unsent::Kept;
use crate::web::ui::value::NewValue;
use crate::web::ui::visitor::PageAdmin;

/// In the value of the button that unlinks an account, before its id.
pub(super) const UNLINK: &str = "unlink:";

#[derive(Template)]
#[template(path = "admin/user.html")]
struct UserPage {
    frame: Frame,
    user: User,
    is_self: bool,
    created: Moment,
    has_passwords: bool,
    /// The accounts at providers that the user signs in with.
    identities: Vec<LinkedAccount>,
    /// The provider whose groups decide what the user may do, so that a password opens nothing.
    deciding: Option<String>,
    picker: Picker,
    problems: Problems,
}

/// An account at a provider that the user signs in with.
struct LinkedAccount {
    id: String,
    provider: String,
    subject: String,
    since: Moment,
}

/// `GET /admin/users/{id}`.
pub(super) async fn show(
    PageAdmin { user: admin, .. }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
    kept: Kept,
) -> Result<Response, PageError> {
    let user = find(&state, &id).await?;
    // The other forms of the page have no fields.
    let unsent = kept.of(&admin).of_action("permissions");
    let picker = Picker::new(&state.catalogue, &ScopeSet::all(), &user.permissions);
    let now = Timestamp::now();
    let account = |identity: LinkedIdentity| LinkedAccount {
        id: identity.id,
        provider: state.providers.title_of(&identity.issuer),
        subject: identity.subject,
        since: Moment::new(identity.linked_at, now),
    };
    let identities = openid::of_user(&state.store, &user.id).await?.into_iter().map(account).collect();
    let deciding = openid::deciding_provider(state.store.pool(), &state.providers, &user.id).await?;
    let page = UserPage {
        has_passwords: state.has_passwords,
        identities,
        deciding: deciding.map(|provider| provider.title.clone()),
        is_self: admin.id == user.id,
        frame: Frame::of(admin, Place::Users, "User"),
        created: Moment::new(user.created_at, now),
        problems: unsent.problems(),
        picker: match unsent.form() {
            Some(form) => picker.sent(form),
            None => picker,
        },
        user,
    };
    Ok(Rendered(page).into_response())
}

/// `POST /admin/users/{id}`: does what the button says.
pub(super) async fn submit(
    PageAdmin { user: admin, by }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let user = find(&state, &id).await?;
    if let Some(identity_id) = form.text("action").strip_prefix(UNLINK) {
        // An unlinking is never refused, like a disabling.
        return unlink(&admin, &by, &state, &seals, user, identity_id).await;
    }
    let (title, patch, effect) = match form.text("action") {
        "link" if state.has_passwords => {
            state.changes.admit(&by)?;
            return create_link(&admin, &by, &state, &headers, &seals, &user).await;
        }
        "permissions" => {
            let permissions =
                Some(Picker::new(&state.catalogue, &ScopeSet::all(), &user.permissions).sent(&form).scopes());
            ("Permissions changed", UserPatch { permissions, ..UserPatch::default() }, Effect::Active)
        }
        "enable" => {
            ("User enabled", UserPatch { is_active: Some(true), ..UserPatch::default() }, Effect::Active)
        }
        "make_admin" => (
            "User promoted to admin",
            UserPatch { is_admin: Some(true), ..UserPatch::default() },
            Effect::Active,
        ),
        "make_member" if admin.id != user.id => {
            ("Role changed", UserPatch { is_admin: Some(false), ..UserPatch::default() }, Effect::Active)
        }
        "disable" if admin.id != user.id => {
            ("User disabled", UserPatch { is_active: Some(false), ..UserPatch::default() }, Effect::Refused)
        }
        _ => return Err(PageError::of_status(StatusCode::BAD_REQUEST)),
    };
    // A disabling is never refused.
    if patch.is_active != Some(false) {
        state.changes.admit(&by)?;
    }
    let updated = accounts::update(&state.store, &by, &user.id, &patch).await?;
    let address = format!("{}/{}", addresses::USERS, user.id);
    let change = CompletedChange {
        notes: updated.notes(),
        name: updated.user.email,
        mask: None,
        back: (address.clone(), "Back to the user".into()),
    };
    let receipt = Receipt::of_change(title, Place::Users, change).and_wait(updated.propagation, effect);
    receipt.redirect(&seals, &format!("{address}/changed"), &admin.id)
}

/// Unlinks an account at a provider.
async fn unlink(
    admin: &User,
    by: &Actor,
    state: &AppState,
    seals: &Seals,
    user: User,
    identity_id: &str,
) -> Result<Response, PageError> {
    openid::unlink(&state.store, by, &user.id, identity_id).await?;
    let address = format!("{}/{}", addresses::USERS, user.id);
    let change = CompletedChange {
        notes: Vec::new(),
        name: user.email,
        mask: None,
        back: (address.clone(), "Back to the user".into()),
    };
    let receipt = Receipt::of_change("Account unlinked", Place::Users, change)
        .and("The user can no longer sign in with this account, and all sessions of the user have ended.");
    receipt.redirect(seals, &format!("{address}/changed"), &admin.id)
}

/// The user with this id.
pub(super) async fn find(state: &AppState, id: &str) -> Result<User, PageError> {
    let user = accounts::find(&state.store, id).await?;
    user.ok_or_else(|| PageError::of_status(StatusCode::NOT_FOUND))
}

/// Creates a link for the user, and leads to it.
pub(super) async fn create_link(
    admin: &User,
    by: &Actor,
    state: &AppState,
    headers: &HeaderMap,
    seals: &Seals,
    user: &User,
) -> Result<Response, PageError> {
    let secret = links::create(&state.store, by, &state.providers, &user.id).await?;
    let address = format!("{}/{}", addresses::USERS, user.id);
    let new = NewValue {
        noun: "Link".into(),
        name: user.email.clone(),
        value: public_url::base(state.public_url.as_ref(), headers) + &secret.path(),
        advice: "This one-time link lets the user set a password. It expires in three days.".into(),
        command: None,
        old_value: None,
        back: address.clone(),
    };
    let receipt = Receipt::of_value("Send this link", Place::Users, new);
    receipt.redirect(seals, &format!("{address}/link"), &admin.id)
}

/// `GET /admin/users/{id}/link`: shows the link once.
pub(super) async fn show_link(
    PageAdmin { user: admin, .. }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
) -> Result<Response, PageError> {
    let text = "If you have not stored it, create another link for the user.";
    let next = (format!("{}/{id}", addresses::USERS), "Go to the user");
    receipt::page(&state.store, Some(admin), &seals, EndedPage::of_value(Place::Users, text, next)).await
}
