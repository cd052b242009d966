//! The form that creates or changes a key.

use protocol::{ResourceId, Restrictions, ScopeSet};

use crate::accounts::User;
use crate::catalogue::Catalogue;
use crate::keys::{Key, ResourceIds};
use crate::label::Label;
use crate::time::Timestamp;
use crate::validation::Violation;
use crate::web::ui::expiry::ExpiryChoice;
use crate::web::ui::form::{Form, Problems};
use crate::web::ui::moment::Moment;
use crate::web::ui::picker::Picker;
use crate::web::ui::unsent::Unsent;

/// What the form shows.
pub(super) struct KeyForm {
    /// The label as entered.
    pub(super) label: String,
    /// The choice of scopes.
    pub(super) picker: Picker,
    /// The ids of projects as entered.
    pub(super) projects: String,
    /// The ids of organizations as entered.
    pub(super) organizations: String,
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
    pub(super) restrictions: Restrictions,
    /// `None` to change nothing, `Some(None)` for never.
    pub(super) expires_at: Option<Option<Timestamp>>,
}

impl KeyForm {
    /// For a new key of that user.
    pub(super) fn blank(catalogue: &Catalogue, user: &User) -> Self {
        KeyForm {
            label: String::new(),
            picker: Picker::new(catalogue, &user.permissions, &ScopeSet::default()),
            projects: String::new(),
            organizations: String::new(),
            expiry: ExpiryChoice::suggested(),
            problems: Problems::default(),
        }
    }

    /// For a key of that user, as it is.
    pub(super) fn of(catalogue: &Catalogue, user: &User, key: &Key, now: Timestamp) -> Self {
        KeyForm {
            label: key.label.clone(),
            picker: Picker::new(catalogue, &user.permissions, &key.scopes),
            projects: joined(key.restrictions.projects.as_deref().unwrap_or_default()),
            organizations: joined(key.restrictions.organizations.as_deref().unwrap_or_default()),
            expiry: ExpiryChoice::new(key.expires_at.map(|at| Moment::new(at, now))),
            problems: Problems::default(),
        }
    }

    /// The same form with what was entered before the session ended, if anything.
    pub(super) fn again(self, unsent: &Unsent, now: Timestamp) -> Self {
        let Some(entered) = unsent.form() else { return self };
        let form = self.sent(entered, now).map_or_else(|form| *form, |(form, _)| form);
        KeyForm { problems: unsent.problems(), ..form }
    }

    /// The same form with what was sent: the fields if all are good, else the form to show again.
    pub(super) fn sent(self, form: &Form, now: Timestamp) -> Result<(Self, Entered), Box<Self>> {
        let mut sent = KeyForm {
            label: form.text("label").to_owned(),
            picker: self.picker.sent(form),
            projects: form.get("scoped_teams").map_or(self.projects, str::to_owned),
            organizations: form.get("scoped_organizations").map_or(self.organizations, str::to_owned),
            expiry: self.expiry.sent(form),
            problems: Problems::default(),
        };
        let label = sent.problems.check("label", sent.label.parse());
        let scopes = sent.problems.check("scopes", some_scopes(sent.picker.scopes()));
        let projects = sent.problems.check("scoped_teams", ids(&sent.projects));
        let organizations = sent.problems.check("scoped_organizations", ids(&sent.organizations));
        let expires_at = sent.problems.check("expires_at", sent.expiry.check(now));
        match (label, scopes, projects, organizations, expires_at) {
            (Some(label), Some(scopes), Some(projects), Some(organizations), Some(expires_at)) => {
                let restrictions = Restrictions { projects, organizations };
                Ok((sent, Entered { label, scopes, restrictions, expires_at }))
            }
            _ => Err(Box::new(sent)),
        }
    }
}

/// Ids in a field and in a table.
pub(super) fn joined(ids: &[ResourceId]) -> String {
    ids.iter().map(ResourceId::as_str).collect::<Vec<_>>().join(", ")
}

fn ids(text: &str) -> Result<Option<Vec<ResourceId>>, Violation> {
    let texts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty());
    let ids: Option<Vec<ResourceId>> = ResourceIds::parse(texts)?.into();
    // A variable of a script that was empty must not widen the key.
    if ids.is_none() && !text.is_empty() {
        return Err(Violation::input("Enter at least one id, or leave the field empty for all."));
    }
    Ok(ids)
}

fn some_scopes(scopes: ScopeSet) -> Result<ScopeSet, Violation> {
    if scopes.is_empty() {
        return Err(Violation::input("Choose at least one object, or all access."));
    }
    Ok(scopes)
}
