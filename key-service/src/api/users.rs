//! Users, as they see themselves.

use axum::Json;

use super::session::CurrentUser;
use crate::accounts::User;

/// `GET /api/users/@me/`: the logged-in user.
pub(super) async fn me(CurrentUser(user): CurrentUser) -> Json<User> {
    Json(user)
}
