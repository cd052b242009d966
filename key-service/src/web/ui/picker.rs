//! The choice of scopes in a form: all access, read only, or a level (none, read or write) for each object.

use std::collections::BTreeSet;

use protocol::{Action, Scope, ScopeSet};

use super::form::Form;
use crate::catalogue::Catalogue;

/// Up to this number of rows, all groups are open. Above it, only the first group and groups with a chosen row are open.
const MAX_ROWS_ALL_OPEN: usize = 12;

/// The group of the objects that are no longer in the catalogue.
const RETIRED: &str = "No longer offered";

const RETIRED_DESCRIPTION: &str = "You can keep or remove this access, but not add it again.";

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
pub(super) struct ObjectRow {
    /// The object of the scope.
    pub(super) object: String,
    /// The object's name for people.
    pub(super) title: String,
    /// What the object is, in a sentence.
    pub(super) description: String,
    /// The highest level that may be chosen.
    most: Action,
    /// The chosen action, if any.
    chosen: Option<Action>,
}

impl ObjectRow {
    /// The name of the row's field.
    pub(super) fn field(&self) -> String {
        format!("scope.{}", self.object)
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

/// The rows under one heading.
#[derive(Debug)]
pub(super) struct Group {
    /// The heading.
    pub(super) title: String,
    /// The rows, at least one.
    pub(super) rows: Vec<ObjectRow>,
    /// Whether the rows are shown at first.
    pub(super) is_open: bool,
}

/// The choice of scopes in a form.
#[derive(Debug)]
pub(super) struct Picker {
    /// The chosen kind of access.
    pub(super) access: Access,
    /// The offered objects.
    pub(super) groups: Vec<Group>,
}

impl Picker {
    /// Offers the scopes of the catalogue within `limit`, with `held` chosen. Held scopes beyond the limit or the catalogue
    /// can be kept.
    pub(super) fn new(catalogue: &Catalogue, limit: &ScopeSet, held: &ScopeSet) -> Self {
        let named: ScopeSet = held.iter().filter(|scope| **scope != Scope::All).cloned().collect();
        let mut picker = Picker { access: Access::Chosen, groups: Vec::new() };
        for object in catalogue.objects() {
            let chosen = most(&named, &object.object);
            if let Some(most) = most(limit, &object.object).max(chosen) {
                let (title, description) = (object.title.clone(), object.description.clone());
                let row = ObjectRow { object: object.object.clone(), title, description, most, chosen };
                picker.add(&object.group, row);
            }
        }
        let retired = named.iter().filter(|scope| !catalogue.has(scope)).filter_map(Scope::object);
        for object in retired.collect::<BTreeSet<_>>() {
            if let Some(most) = most(&named, object) {
                let (title, description) = (object.replace('_', " "), RETIRED_DESCRIPTION.to_owned());
                let row =
                    ObjectRow { object: object.to_owned(), title, description, most, chosen: Some(most) };
                picker.add(RETIRED, row);
            }
        }
        if held.permits(&Scope::All) {
            picker.access = Access::All;
        } else if !named.is_empty() && picker.rows().all(|row| row.chosen == Some(Action::Read)) {
            picker.access = Access::ReadOnly;
        }
        picker.open();
        picker
    }

    fn add(&mut self, title: &str, row: ObjectRow) {
        match self.groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.rows.push(row),
            None => self.groups.push(Group { title: title.to_owned(), rows: vec![row], is_open: false }),
        }
    }

    fn open(&mut self) {
        let is_short = self.rows().count() <= MAX_ROWS_ALL_OPEN;
        for (place, group) in self.groups.iter_mut().enumerate() {
            group.is_open = is_short || place == 0 || group.rows.iter().any(|row| row.chosen.is_some());
        }
    }

    fn rows(&self) -> impl Iterator<Item = &ObjectRow> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// The choice that a form sent.
    pub(super) fn sent(mut self, form: &Form) -> Self {
        self.access = match form.text("access") {
            "all" => Access::All,
            "read" => Access::ReadOnly,
            _ => Access::Chosen,
        };
        for row in self.groups.iter_mut().flat_map(|group| &mut group.rows) {
            row.chosen = match form.text(&row.field()) {
                "read" => Some(Action::Read),
                "write" => Some(row.most),
                _ => None,
            };
        }
        self.open();
        self
    }

    /// The chosen scopes, possibly none, in alphabetical order.
    pub(super) fn scopes(&self) -> ScopeSet {
        let scopes: BTreeSet<Scope> = match self.access {
            Access::All => BTreeSet::from([Scope::All]),
            Access::ReadOnly => self.rows().map(|row| row.scope(Action::Read)).collect(),
            Access::Chosen => {
                self.rows().filter_map(|row| row.chosen.map(|action| row.scope(action))).collect()
            }
        };
        scopes.into_iter().collect()
    }
}

/// The highest action that scopes permit on an object.
fn most(scopes: &ScopeSet, object: &str) -> Option<Action> {
    let permits = |&action: &Action| scopes.permits(&Scope::Object { object: object.into(), action });
    [Action::Write, Action::Read].into_iter().find(permits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(texts: &str) -> ScopeSet {
        ScopeSet::parse(texts.split_whitespace()).unwrap()
    }

    fn picker_of(objects: &[&str], limit: &ScopeSet, held: &ScopeSet) -> Picker {
        let entry = |object: &&str| {
            let group = format!("Group {}", &object[..1]);
            json!({"object": object, "title": "T", "description": "D.", "group": group})
        };
        let catalogue = serde_json::Value::from_iter(objects.iter().map(entry)).to_string();
        Picker::new(&Catalogue::parse(catalogue.as_bytes()).unwrap(), limit, held)
    }

    fn picker(limit: &ScopeSet, held: &ScopeSet) -> Picker {
        picker_of(&["cohort", "insight", "person"], limit, held)
    }

    #[test]
    fn scopes_that_the_user_lacks_are_not_offered() {
        let picker = picker(&set("insight:read cohort:write"), &set(""));
        let offered: Vec<_> = picker.rows().map(|row| (row.object.clone(), row.offers_write())).collect();
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
    fn a_scope_that_the_catalogue_lacks_can_be_kept_and_removed_but_not_added() {
        let held = set("unicorn:read insight:read unicorn:write goat:read");
        let form = |text: &[u8]| picker(&set("*"), &held).sent(&Form::parse(text)).scopes();
        let picker = picker(&set("*"), &held);
        let retired = picker.groups.last().unwrap();
        let rows: Vec<_> = retired.rows.iter().map(|row| (row.object.as_str(), row.offers_write())).collect();
        assert_eq!((retired.title.as_str(), rows), (RETIRED, vec![("goat", false), ("unicorn", true)]));
        assert_eq!(picker.scopes(), set("goat:read insight:read unicorn:write"));
        assert_eq!(form(b"scope.unicorn=read&scope.goat=write"), set("goat:read unicorn:read"));
        assert_eq!(form(b"scope.insight=read&scope.dragon=read"), set("insight:read"));
    }

    #[test]
    fn objects_are_grouped_and_groups_with_a_choice_are_open() {
        let objects: Vec<_> = ('a'..='m').map(|letter| format!("{letter}_1")).collect();
        let objects: Vec<_> = objects.iter().map(String::as_str).chain(["b_2"]).collect();
        let open = |picker: &Picker| -> Vec<String> {
            picker.groups.iter().filter(|group| group.is_open).map(|group| group.title.clone()).collect()
        };
        let picker = picker_of(&objects, &set("*"), &set("c_1:read"));
        assert_eq!(picker.groups.len(), 13, "b_2 is in the group of b_1");
        assert_eq!(picker.groups[1].rows.len(), 2);
        assert_eq!(open(&picker), ["Group a", "Group c"]);
        assert_eq!(open(&picker.sent(&Form::parse(b"scope.b_2=read"))), ["Group a", "Group b"]);
        assert_eq!(
            picker_of(&objects[..12], &set("*"), &set("")).groups.iter().filter(|g| g.is_open).count(),
            12
        );
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
