//! The form that creates or changes a key.

use protocol::ScopeSet;

use crate::accounts::User;
use crate::catalogue::Catalogue;
use crate::keys::Key;
use crate::label::Label;
use crate::time::Timestamp;
use crate::validation::Violation;
use crate::web::ui::expiry::ExpiryChoice;
use crate::web::ui::form::{Form, Problems};
use crate::web::ui::moment::Moment;
use crate::web::ui::picker::Picker;

/// What the form shows.
pub(super) struct KeyForm {
    /// The label as entered.
    pub(super) label: String,
    /// The choice of scopes.
    pub(super) picker: Picker,
    /// The choice of an expiry.
    pub(super) expiry: ExpiryChoice,
    /// What was wrong with what was sent.
    pub(super) problems: Problems,
}

/// The fields of a form without problems.
pub(super) struct Entered {
    pub(super) label: Label,
    /// One at least.
    pub(super) scopes: ScopeSet,
    /// `None` to change nothing, `Some(None)` for never.
    pub(super) expires_at: Option<Option<Timestamp>>,
}

impl KeyForm {
    /// For a new key of that user.
    pub(super) fn blank(catalogue: &Catalogue, user: &User) -> Self {
        KeyForm {
            label: String::new(),
            picker: Picker::new(catalogue, &user.permissions, &ScopeSet::default()),
            expiry: ExpiryChoice::new(None),
            problems: Problems::default(),
        }
    }

    /// For a key of that user, as it is.
    pub(super) fn of(catalogue: &Catalogue, user: &User, key: &Key, now: Timestamp) -> Self {
        KeyForm {
            label: key.label.clone(),
            picker: Picker::new(catalogue, &user.permissions, &key.scopes),
            expiry: ExpiryChoice::new(key.expires_at.map(|at| Moment::new(at, now))),
            problems: Problems::default(),
        }
    }

    /// The same form with what was sent: the fields if all are good, else the form to show again.
    pub(super) fn sent(self, form: &Form, now: Timestamp) -> Result<(Self, Entered), Box<Self>> {
        let mut sent = KeyForm {
            label: form.text("label").to_owned(),
            picker: self.picker.sent(form),
            expiry: self.expiry.sent(form),
            problems: Problems::default(),
        };
        let label = sent.problems.check("label", sent.label.parse());
        let scopes = sent.problems.check("scopes", some_scopes(sent.picker.scopes()));
        let expires_at = sent.problems.check("expires_at", sent.expiry.check(now));
        match (label, scopes, expires_at) {
            (Some(label), Some(scopes), Some(expires_at)) => {
                Ok((sent, Entered { label, scopes, expires_at }))
            }
            _ => Err(Box::new(sent)),
        }
    }
}

fn some_scopes(scopes: ScopeSet) -> Result<ScopeSet, Violation> {
    if scopes.is_empty() {
        return Err(Violation::input("Choose at least one object, or all access."));
    }
    Ok(scopes)
}
