//! Reads the fields of JSON objects and collects their problems.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Problem;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, path: impl Into<String>, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { path: path.into(), message: message.into() });
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// The fields of one object. Each `take_…` removes a field; [`Fields::finish`] reports the remaining ones as unknown.
pub(super) struct Fields<'p> {
    path: String,
    map: Map<String, Value>,
    problems: &'p Problems,
    known: Vec<&'static str>,
}

impl<'p> Fields<'p> {
    /// The fields of `value`. A value that is not an object is a problem and has no fields.
    pub(super) fn of(value: Value, path: String, problems: &'p Problems) -> Self {
        let map = match value {
            Value::Object(map) => map,
            other => {
                let place = if path.is_empty() { "configuration" } else { &path };
                problems.add(place, format!("must be an object, not {}", kind(&other)));
                Map::new()
            }
        };
        Fields { path, map, problems, known: Vec::new() }
    }

    /// The full path of a field.
    pub(super) fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Records a problem with a field.
    pub(super) fn problem(&self, field: &str, message: impl Into<String>) {
        self.problems.add(self.path_of(field), message);
    }

    /// The raw field; `null` counts as absent.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.map.remove(field).filter(|value| !value.is_null())
    }

    /// Whether a field is there and `null`, for the few fields in which this differs from an absent one.
    pub(super) fn is_null(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(Value::is_null)
    }

    /// The fields of an object; an absent object has none.
    pub(super) fn take_fields(&mut self, field: &'static str) -> Fields<'p> {
        let value = self.take(field);
        self.within(field, value)
    }

    /// The fields of the value of a field; an absent value has none.
    pub(super) fn within(&self, field: &str, value: Option<Value>) -> Fields<'p> {
        let value = value.unwrap_or_else(|| Value::Object(Map::new()));
        Fields::of(value, self.path_of(field), self.problems)
    }

    pub(super) fn take_list(&mut self, field: &'static str) -> Option<Vec<Value>> {
        self.take_as(field, "a list", |value| match value {
            Value::Array(list) => Some(list),
            _ => None,
        })
    }

    pub(super) fn take_bool(&mut self, field: &'static str) -> Option<bool> {
        self.take_as(field, "true or false", |value| value.as_bool())
    }

    pub(super) fn take_string(&mut self, field: &'static str) -> Option<String> {
        self.take_as(field, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// One of `choices`, as its index.
    pub(super) fn take_choice(&mut self, field: &'static str, choices: &[&str]) -> Option<usize> {
        let text = self.take_string(field)?;
        let found = choices.iter().position(|choice| *choice == text);
        if found.is_none() {
            self.problem(field, format!("must be {}, not {text:?}", choices.join(" or ")));
        }
        found
    }

    /// A whole number within `range`. Envoy turns every number of a Struct into a double, so `5e3` is accepted.
    pub(super) fn take_number(
        &mut self,
        field: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.take(field)?;
        let whole = value.as_u64().or_else(|| {
            let double = value.as_f64()?;
            let exact = (0.0..9e15).contains(&double) && double.fract() == 0.0;
            exact.then_some(double as u64)
        });
        let found = whole.filter(|number| range.contains(number));
        if found.is_none() {
            let (least, most) = (range.start(), range.end());
            let given = if value.is_object() || value.is_array() {
                kind(&value).to_owned()
            } else {
                value.to_string()
            };
            self.problem(field, format!("must be a whole number from {least} to {most}, not {given}"));
        }
        found
    }

    /// Reports every field that was not taken, sorted by name. The order of the map depends on a feature of serde_json that
    /// crates of the tests enable and the module does not.
    pub(super) fn finish(self) {
        let unknown: BTreeSet<_> = self.map.keys().collect();
        for field in unknown {
            let message = format!("unknown field; known here: {}", self.known.join(", "));
            self.problems.add(self.path_of(field), message);
        }
    }

    fn take_as<T>(
        &mut self,
        field: &'static str,
        what: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(field)?;
        let kind = kind(&value);
        let read = read(value);
        if read.is_none() {
            self.problem(field, format!("must be {what}, not {kind}"));
        }
        read
    }
}

/// The kind of a JSON value, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
