//! The frame of every page: title, navigation, signed-in user.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::addresses;
use super::assets::{ASSETS, Asset};
use super::error::PageError;
use crate::accounts::User;

/// A part of the site that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// The user's own keys.
    Keys,
    /// The user's own account.
    Account,
    /// All users.
    Users,
    /// The keys of all users.
    AllKeys,
    /// The management tokens.
    Tokens,
    /// The audit log.
    Audit,
    /// The edges.
    Edges,
    /// Not in the navigation.
    Outside,
}

/// A link of the navigation.
pub(super) struct NavLink {
    pub(super) address: &'static str,
    pub(super) text: &'static str,
    pub(super) is_current: bool,
}

/// The data of the template `base.html`.
pub(super) struct Frame {
    /// The page's title, in the browser's tab and the heading.
    pub(super) title: String,
    place: Place,
    /// The signed-in user.
    pub(super) user: Option<User>,
}

impl Frame {
    /// For a signed-in user.
    pub(super) fn of(user: User, place: Place, title: impl Into<String>) -> Self {
        Frame { title: title.into(), place, user: Some(user) }
    }

    /// For any visitor.
    pub(super) fn outside(title: impl Into<String>) -> Self {
        Frame { title: title.into(), place: Place::Outside, user: None }
    }

    /// The links to the user's own pages.
    pub(super) fn own_links(&self) -> Vec<NavLink> {
        self.links(&[
            (Place::Keys, addresses::KEYS, "Personal API keys"),
            (Place::Account, "/account", "Account"),
        ])
    }

    /// The links to the admins' pages.
    pub(super) fn admin_links(&self) -> Vec<NavLink> {
        self.links(&[
            (Place::Users, addresses::USERS, "Users"),
            (Place::AllKeys, addresses::ALL_KEYS, "All keys"),
            (Place::Tokens, addresses::TOKENS, "Tokens"),
            (Place::Audit, addresses::AUDIT, "Audit log"),
            (Place::Edges, addresses::EDGES, "Edges"),
        ])
    }

    fn links(&self, all: &[(Place, &'static str, &'static str)]) -> Vec<NavLink> {
        let link = |&(place, address, text): &(Place, _, _)| NavLink {
            address,
            text,
            is_current: place == self.place,
        };
        all.iter().map(link).collect()
    }

    /// The style sheet.
    pub(super) fn style(&self) -> &'static Asset {
        &ASSETS.style
    }

    /// The script.
    pub(super) fn script(&self) -> &'static Asset {
        &ASSETS.script
    }

    /// The icon.
    pub(super) fn icon(&self) -> &'static Asset {
        &ASSETS.icon
    }
}

/// A page of a template.
pub(super) struct Rendered<T>(pub(super) T);

impl<T: Template> IntoResponse for Rendered<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => PageError::internal(&error).into_response(),
        }
    }
}
