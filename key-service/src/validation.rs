//! Bad input: which field, and what is wrong with it, for whoever sent it.

/// A field holds what it may not hold. The codes and most texts are those of PostHog's API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct FieldError {
    /// The field's name in the API; the flag of the same name on the command line.
    pub field: &'static str,
    /// What is wrong, for programs: `required`, `blank`, `invalid_input`, …
    pub code: &'static str,
    /// What is wrong, for people.
    pub detail: String,
}

impl FieldError {
    /// Any fault that has no code of its own.
    pub fn input(field: &'static str, detail: impl Into<String>) -> Self {
        FieldError { field, code: "invalid_input", detail: detail.into() }
    }

    /// A required field is missing.
    pub fn required(field: &'static str) -> Self {
        FieldError { field, code: "required", detail: "This field is required.".to_owned() }
    }

    /// A text is empty, or white space alone.
    pub fn blank(field: &'static str) -> Self {
        FieldError { field, code: "blank", detail: "This field may not be blank.".to_owned() }
    }

    /// A field that cannot be null is.
    pub fn null(field: &'static str) -> Self {
        FieldError { field, code: "null", detail: "This field may not be null.".to_owned() }
    }

    /// A text has more than `max` characters.
    pub fn too_long(field: &'static str, max: usize) -> Self {
        let detail = format!("Ensure this field has no more than {max} characters.");
        FieldError { field, code: "max_length", detail }
    }
}

/// Whether a character is one of Unicode's controls of the reading direction (property `Bidi_Control`), which make a text
/// look like another.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
