//! A value in a file, with its path.

use serde_json::Value;

use super::path;

/// A value and where it is.
#[derive(Clone, Debug)]
pub struct Place<'d> {
    /// The path.
    pub path: String,
    /// The value.
    pub value: &'d Value,
}

impl<'d> Place<'d> {
    /// The value at a path.
    pub fn new(path: String, value: &'d Value) -> Self {
        Place { path, value }
    }

    /// A field of an Envoy message, by its name in `snake_case`; Envoy accepts `camelCase` too. `null` counts as absent.
    pub fn field(&self, name: &str) -> Option<Place<'d>> {
        let fields = self.value.as_object()?;
        [name.to_owned(), camel_case(name)].into_iter().find_map(|name| {
            let value = fields.get(&name).filter(|value| !value.is_null())?;
            Some(Place::new(path::of_field(&self.path, &name), value))
        })
    }

    /// A field of a field.
    pub fn at(&self, names: &[&str]) -> Option<Place<'d>> {
        names.iter().try_fold(self.clone(), |place, name| place.field(name))
    }

    /// The path that a field has or would have.
    pub fn path_of(&self, name: &str) -> String {
        self.field(name).map_or_else(|| path::of_field(&self.path, name), |place| place.path)
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> Vec<Place<'d>> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(at, value)| Place::new(path::of_item(&self.path, at), value)).collect()
    }

    /// The fields of an object, with their names.
    pub fn fields(&self) -> Vec<(&'d str, Place<'d>)> {
        let fields = self.value.as_object().into_iter().flatten();
        fields
            .map(|(name, value)| (name.as_str(), Place::new(path::of_field(&self.path, name), value)))
            .collect()
    }

    /// This place and all places inside it, outer ones first.
    pub fn everything(&self) -> Vec<Place<'d>> {
        let mut found = vec![self.clone()];
        let mut next = 0;
        while let Some(place) = found.get(next).cloned() {
            found.extend(place.items());
            found.extend(place.fields().into_iter().map(|(_, field)| field));
            next += 1;
        }
        found
    }

    /// Whether `other` is this place or inside it.
    pub fn contains(&self, other: &Place<'_>) -> bool {
        let rest = other.path.strip_prefix(&self.path);
        rest.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&'d str> {
        self.value.as_str()
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        *self.value == Value::Bool(true)
    }

    /// Whether it is an enum's value, by name or by number.
    pub fn is_enum(&self, name: &str, number: u64) -> bool {
        self.text() == Some(name) || self.value.as_u64() == Some(number)
    }

    /// Whether its `@type` is this message.
    pub fn is_message(&self, name: &str) -> bool {
        let type_url = self.value.get("@type").and_then(Value::as_str);
        type_url.is_some_and(|url| url.rsplit('/').next() == Some(name))
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
