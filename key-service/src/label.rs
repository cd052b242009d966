//! What keys, management tokens and the objects of the scope catalogue are called.

use std::fmt;
use std::str::FromStr;

use deserr::Deserr;
use utoipa::ToSchema;

use crate::validation::{Violation, short_text};

/// The most characters of a label.
pub(crate) const MAX_LABEL_CHARS: usize = 40;

/// What a key or a management token is called: 1 to 40 characters. White space around them is removed; characters that turn
/// the reading direction are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(try_from(&String) = Label::from_str -> Violation)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 40,
    pattern = r"^[^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*[^\s\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069][^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"
)]
pub struct Label(String);

impl FromStr for Label {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        short_text(text, MAX_LABEL_CHARS).map(Label)
    }
}

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Result<Label, Violation> {
        text.parse()
    }

    #[test]
    fn a_label_has_1_to_40_characters_after_trimming() {
        assert_eq!(label("  CI  ").unwrap().as_ref(), "CI");
        assert_eq!(label(&"é".repeat(40)).unwrap().as_ref().chars().count(), 40);
        assert_eq!(label(&"é".repeat(41)).unwrap_err().code, "max_length");
        assert_eq!(label(" \t ").unwrap_err().code, "blank");
        assert_eq!(label("a\0b").unwrap_err().code, "null_characters_not_allowed");
    }

    #[test]
    fn a_label_reads_in_the_order_in_which_it_is_written() {
        assert_eq!(
            label("مفتاح CI").unwrap().as_ref(),
            "مفتاح CI",
            "a script that is written from right to left is no control"
        );
        for control in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"
                .chars()
        {
            assert_eq!(label(&format!("a{control}b")).unwrap_err().code, "invalid_input", "{control:?}");
        }
    }
}
