//! The form's choice of scopes: all access, read only, or none, read or write for each object.

use std::collections::BTreeSet;

use protocol::{Action, Scope, ScopeSet};

use super::form::Form;
use crate::catalogue::{Catalogue, ScopeObject};

/// The objects of the documented routes, shown first.
const COMMON_OBJECTS: [&str; 6] = ["project", "insight", "feature_flag", "person", "cohort", "query"];

/// Up to this number of rows, all are shown at once.
const SHORT: usize = 8;

/// The chosen kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// `*`.
    All,
    /// Read access to every offered object.
    ReadOnly,
    /// The choice of each row.
    Chosen,
}

/// One object's row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The object of the scope.
    pub(super) object: String,
    /// The most that may be chosen.
    pub(super) most: Action,
    /// The chosen action, if any.
    pub(super) chosen: Option<Action>,
}

impl Row {
    /// The name of the row's field.
    pub(super) fn field(&self) -> String {
        format!("scope.{}", self.object)
    }

    /// The object's name in words.
    pub(super) fn words(&self) -> String {
        self.object.replace('_', " ")
    }

    /// Whether this is chosen: `none`, `read` or `write`.
    pub(super) fn is(&self, level: &str) -> bool {
        self.chosen.map_or("none", Action::as_str) == level
    }

    /// Whether writing may be chosen.
    pub(super) fn offers_write(&self) -> bool {
        self.most == Action::Write
    }

    fn scope(&self, action: Action) -> Scope {
        Scope::Object { object: self.object.as_str().into(), action }
    }
}

/// The whole choice.
#[derive(Debug)]
pub(super) struct Picker {
    /// The chosen kind of access.
    pub(super) access: Access,
    rows: Vec<Row>,
}

impl Picker {
    /// Offers the scopes of the catalogue within `limit`, with `held` chosen. Held scopes beyond the limit or the catalogue
    /// can be kept.
    pub(super) fn new(catalogue: &Catalogue, limit: &ScopeSet, held: &ScopeSet) -> Self {
        let most = |scopes: &ScopeSet, object: &str| {
            let permits = |&action: &Action| scopes.permits(&Scope::Object { object: object.into(), action });
            [Action::Write, Action::Read].into_iter().find(permits)
        };
        let named: ScopeSet = held.iter().filter(|scope| **scope != Scope::All).cloned().collect();
        let row = |object: &ScopeObject| {
            let chosen = most(&named, &object.object);
            let most = most(limit, &object.object).max(chosen)?;
            Some(Row { object: object.object.clone(), most, chosen })
        };
        let offered = catalogue.objects().iter().filter_map(row);
        let rows: Vec<Row> = offered.chain(retired(catalogue, &named)).collect();
        let mut picker = Picker { access: Access::Chosen, rows };
        if held.permits(&Scope::All) {
            picker.access = Access::All;
        } else if !named.is_empty() && picker.rows.iter().all(|row| row.chosen == Some(Action::Read)) {
            picker.access = Access::ReadOnly;
        }
        picker
    }

    /// The choice that a form sent.
    pub(super) fn sent(mut self, form: &Form) -> Self {
        self.access = match form.text("access") {
            "all" => Access::All,
            "read" => Access::ReadOnly,
            _ => Access::Chosen,
        };
        for row in &mut self.rows {
            row.chosen = match form.text(&row.field()) {
                "read" => Some(Action::Read),
                "write" => Some(row.most),
                _ => None,
            };
        }
        self
    }

    /// The chosen scopes, possibly none, in the order of the alphabet.
    pub(super) fn scopes(&self) -> ScopeSet {
        let scopes: BTreeSet<Scope> = match self.access {
            Access::All => BTreeSet::from([Scope::All]),
            Access::ReadOnly => self.rows.iter().map(|row| row.scope(Action::Read)).collect(),
            Access::Chosen => {
                self.rows.iter().filter_map(|row| row.chosen.map(|action| row.scope(action))).collect()
            }
        };
        scopes.into_iter().collect()
    }

    /// The rows shown at once.
    pub(super) fn first(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| self.is_first(row)).collect()
    }

    /// The rows shown on demand.
    pub(super) fn more(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| !self.is_first(row)).collect()
    }

    /// Whether a chosen row would be hidden.
    pub(super) fn has_hidden_choice(&self) -> bool {
        self.more().iter().any(|row| row.chosen.is_some())
    }

    fn is_first(&self, row: &Row) -> bool {
        self.rows.len() <= SHORT || COMMON_OBJECTS.contains(&row.object.as_str())
    }
}

/// The objects of scopes that are no longer in the catalogue.
fn retired(catalogue: &Catalogue, named: &ScopeSet) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for scope in named.iter().filter(|scope| !catalogue.has(scope)) {
        let Scope::Object { object, action } = scope else { continue };
        match rows.iter_mut().find(|row| row.object == **object) {
            Some(row) => row.most = row.most.max(*action),
            None => rows.push(Row { object: object.to_string(), most: *action, chosen: None }),
        }
    }
    for row in &mut rows {
        row.chosen = Some(row.most);
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(texts: &str) -> ScopeSet {
        ScopeSet::parse(texts.split_whitespace()).unwrap()
    }

    fn picker(limit: &ScopeSet, held: &ScopeSet) -> Picker {
        let entry = |object| json!({"object": object, "title": "T", "description": "D.", "group": "G"});
        let catalogue = json!(["cohort", "insight", "person"].map(entry)).to_string();
        Picker::new(&Catalogue::parse(catalogue.as_bytes()).unwrap(), limit, held)
    }

    #[test]
    fn what_the_user_may_not_do_is_not_offered() {
        let picker = picker(&set("insight:read cohort:write"), &set(""));
        let offered: Vec<_> =
            picker.first().iter().map(|row| (row.object.clone(), row.offers_write())).collect();
        assert_eq!(offered, [("cohort".to_owned(), true), ("insight".to_owned(), false)]);
        let forged = picker.sent(&Form::parse(b"access=some&scope.insight=write&scope.person=read"));
        assert_eq!(forged.scopes(), set("insight:read"));
    }

    #[test]
    fn a_scope_that_the_key_holds_beyond_its_user_can_be_kept() {
        let picker = picker(&set("insight:read"), &set("insight:write person:read"));
        assert_eq!(picker.scopes(), set("insight:write person:read"));
        let sent = picker.sent(&Form::parse(b"scope.insight=write&scope.person=none"));
        assert_eq!(sent.scopes(), set("insight:write"));
    }

    #[test]
    fn all_and_reading_everything_are_choices_of_their_own() {
        let everything = picker(&set("*"), &set("*"));
        assert_eq!((everything.access, everything.scopes()), (Access::All, set("*")));
        let limit = set("insight:write cohort:read");
        let reading = picker(&limit, &set("")).sent(&Form::parse(b"access=read"));
        assert_eq!(reading.scopes(), set("cohort:read insight:read"));
        assert_eq!(picker(&limit, &reading.scopes()).access, Access::ReadOnly);
    }
}
