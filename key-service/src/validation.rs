//! Invalid input: the field, and the rule that its value breaks.
//!
//! A rule returns a [`Violation`], which names no field. The code that reads the value adds the field. [`FieldErrors`]
//! collects all problems of a request.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, Value, ValueKind, ValuePointerRef,
};
use utoipa::ToSchema;

/// The Jaro similarity (0 to 1) above which an unknown name is taken for a misspelt known one.
const MISSPELT: f64 = 0.8;

/// A value breaks a rule. The codes and most texts are those of PostHog's API. A text never repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Violation {
    /// The problem, for programs: `required`, `blank`, `invalid_input`, …
    pub code: &'static str,
    /// The problem, for people.
    pub detail: String,
}

impl Violation {
    /// A violation with a code of its own.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Violation { code, detail: detail.into() }
    }

    /// A violation without a code of its own.
    pub fn input(detail: impl Into<String>) -> Self {
        Self::new("invalid_input", detail)
    }

    /// A required field is missing.
    pub fn required() -> Self {
        Self::new("required", "This field is required.")
    }

    /// A text is empty, or only white space.
    pub fn blank() -> Self {
        Self::new("blank", "This field may not be blank.")
    }

    /// The field is null, but must not be.
    pub fn null() -> Self {
        Self::new("null", "This field may not be null.")
    }

    /// A list is empty.
    pub fn empty() -> Self {
        Self::new("empty", "This list may not be empty.")
    }

    /// A text has more than `max` characters.
    pub fn too_long(max: usize) -> Self {
        Self::new("max_length", format!("Ensure this field has no more than {max} characters."))
    }

    /// A list has more than `max` items.
    pub fn too_many(max: usize) -> Self {
        Self::new("max_length", format!("Ensure this field has no more than {max} elements."))
    }

    /// A number is not in a range.
    pub fn out_of_range(least: u32, most: u32) -> Self {
        Self::input(format!("Ensure this value is from {least} to {most}."))
    }

    /// A text is not one of the choices of a field.
    pub fn none_of(choices: &[&str]) -> Self {
        Self::input(format!("Must be one of {}.", choices.join(", ")))
    }

    /// There is no field `name`; `known` are the existing ones.
    fn unknown(name: &str, known: &[&str]) -> Self {
        let likely = known.iter().map(|known| (strsim::jaro(name, known), known));
        let nearest = likely.max_by(|(one, _), (other, _)| one.total_cmp(other));
        let hint = match nearest {
            Some((likeness, nearest)) if likeness > MISSPELT => format!(" Did you mean {nearest}?"),
            Some(_) => format!(" Known: {}.", known.join(", ")),
            None => String::new(),
        };
        Self::new("unknown_field", format!("There is no such field.{hint}"))
    }

    /// The type of a value is not one of these.
    fn wrong_type(accepted: &[ValueKind]) -> Self {
        match accepted {
            [ValueKind::String, ..] => Self::input("Not a valid string."),
            [ValueKind::Boolean, ..] => Self::input("Must be a valid boolean."),
            [ValueKind::Sequence, ..] => Self::new("not_a_list", "Expected a list of items."),
            [ValueKind::Map, ..] => Self::input("Invalid data. Expected a dictionary."),
            _ => Self::input("A valid integer is required."),
        }
    }

    /// This violation, in this field.
    pub fn of(self, field: impl Into<Cow<'static, str>>) -> FieldError {
        FieldError { field: field.into(), item: None, violation: self }
    }
}

/// The value of a field is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {}", violation.detail)]
pub struct FieldError {
    /// The field's name in the API; the flag of the same name on the command line.
    pub field: Cow<'static, str>,
    /// The index of the invalid item, from 0, if the field is a list and the others may be valid.
    pub item: Option<usize>,
    /// The problem.
    pub violation: Violation,
}

impl FieldError {
    /// A violation without a code of its own.
    pub fn input(field: &'static str, detail: impl Into<String>) -> Self {
        Violation::input(detail).of(field)
    }

    /// A required field is missing.
    pub fn required(field: &'static str) -> Self {
        Violation::required().of(field)
    }

    /// The path of the field or of its item: `label`, `scopes[1]`.
    pub fn path(&self) -> Cow<'static, str> {
        match self.item {
            Some(item) => format!("{}[{item}]", self.field).into(),
            None => self.field.clone(),
        }
    }

    /// The place of an invalid value in a request.
    fn at(location: ValuePointerRef<'_>, violation: Violation) -> Self {
        let field = location.first_field().unwrap_or_default().to_owned().into();
        let item = match location {
            ValuePointerRef::Index { index, .. } => Some(index),
            _ => None,
        };
        FieldError { field, item, violation }
    }
}

/// All problems of a request. Its text has a line for each problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Returns a valid value of a field, or adds its problem.
    pub fn check<T>(&mut self, field: &'static str, value: Result<T, Violation>) -> Option<T> {
        value.map_err(|violation| self.0.push(violation.of(field))).ok()
    }

    /// Adds the problems of another part of the request.
    pub fn extend(&mut self, others: FieldErrors) {
        self.0.extend(others.0);
    }

    /// Sorts the problems by the order of these fields and of their items; those of other fields come last.
    #[must_use]
    pub fn in_order_of(mut self, fields: &[String]) -> Self {
        let place = |error: &FieldError| fields.iter().position(|field| *field == error.field);
        self.0.sort_by_key(|error| (place(error).unwrap_or(fields.len()), error.item));
        self
    }

    /// Whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &FieldError> {
        self.0.iter()
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        FieldErrors(vec![error])
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        FieldErrors(errors.into_iter().collect())
    }
}

impl IntoIterator for FieldErrors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(FieldError::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

/// Reading continues after each problem, so that all are found.
impl DeserializeError for FieldErrors {
    fn error<V: IntoValue>(
        errors: Option<Self>,
        error: ErrorKind<'_, V>,
        location: ValuePointerRef<'_>,
    ) -> ControlFlow<Self, Self> {
        let (location, violation) = match error {
            ErrorKind::IncorrectValueKind { actual: Value::Null, .. } => (location, Violation::null()),
            ErrorKind::IncorrectValueKind { accepted, .. } => (location, Violation::wrong_type(accepted)),
            ErrorKind::MissingField { field } => (location.push_key(field), Violation::required()),
            ErrorKind::UnknownKey { key, accepted } => {
                (location.push_key(key), Violation::unknown(key, accepted))
            }
            ErrorKind::UnknownValue { accepted, .. } => (location, Violation::none_of(accepted)),
            // With the types in use, only integers out of range reach this.
            ErrorKind::BadSequenceLen { .. } | ErrorKind::Unexpected { .. } => {
                (location, Violation::wrong_type(&[]))
            }
        };
        Self::merge(errors, violation, location)
    }
}

impl MergeWithError<Violation> for FieldErrors {
    fn merge(
        errors: Option<Self>,
        violation: Violation,
        location: ValuePointerRef<'_>,
    ) -> ControlFlow<Self, Self> {
        let mut errors = errors.unwrap_or_default();
        errors.0.push(FieldError::at(location, violation));
        ControlFlow::Continue(errors)
    }
}

impl MergeWithError<FieldErrors> for FieldErrors {
    fn merge(errors: Option<Self>, others: FieldErrors, _: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        let mut errors = errors.unwrap_or_default();
        errors.extend(others);
        ControlFlow::Continue(errors)
    }
}

/// A text with at least one character.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(try_from(String) = NonEmpty::try_from -> Violation)]
#[schema(value_type = String, min_length = 1)]
pub(crate) struct NonEmpty(String);

impl TryFrom<String> for NonEmpty {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        if text.is_empty() { Err(Violation::blank()) } else { Ok(NonEmpty(text)) }
    }
}

impl AsRef<str> for NonEmpty {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A text for people without the white space around it: 1 to `max_chars` characters, none of which is null or turns the
/// reading direction. The OpenAPI document has this as a pattern of each type that uses it.
pub(crate) fn short_text(text: &str, max_chars: usize) -> Result<String, Violation> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Violation::blank());
    }
    if text.chars().count() > max_chars {
        return Err(Violation::too_long(max_chars));
    }
    if text.contains('\0') {
        return Err(Violation::new("null_characters_not_allowed", "Null characters are not allowed."));
    }
    if text.contains(is_bidi_control) {
        return Err(Violation::input("Bidirectional control characters are not allowed."));
    }
    Ok(text.to_owned())
}

/// Whether a character is a bidirectional control (`Bidi_Control`), which can make one text look like another.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest_known_one() {
        let known = ["label", "scopes", "expires_at", "user_id"];
        let hint = |name: &str| Violation::unknown(name, &known).detail;
        assert_eq!(hint("expires"), "There is no such field. Did you mean expires_at?");
        assert_eq!(hint("scope"), "There is no such field. Did you mean scopes?");
        assert_eq!(hint("x"), "There is no such field. Known: label, scopes, expires_at, user_id.");
        assert_eq!(Violation::unknown("x", &[]).detail, "There is no such field.");
    }

    #[test]
    fn each_problem_has_a_line() {
        let mut problems = FieldErrors::default();
        assert_eq!(problems.check("label", Ok(7)), Some(7));
        assert_eq!(problems.check::<()>("label", Err(Violation::blank())), None);
        problems.check::<()>("scopes", Err(Violation::empty()));
        assert_eq!(
            problems.to_string(),
            "label: This field may not be blank.\nscopes: This list may not be empty."
        );
    }
}
