//! The verbs of a management token, which limit its operations.

use std::fmt;

use deserr::Deserr;
use serde::Serialize;
use strum::VariantArray;
use utoipa::ToSchema;

use crate::validation::Violation;

/// A kind of operation that a management token may perform.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Deserr,
    Serialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[deserr(try_from(String) = Verb::try_from -> Violation)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Verb {
    /// To list and read: keys, users, the audit log, edges.
    Read,
    /// To revoke: delete keys, disable and delete users, report leaks.
    Revoke,
    /// To create and change: create, roll and change keys, add and change users, create links.
    Create,
}

impl Verb {
    /// The name in JSON, in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The names of all verbs, in the order in which they are shown.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Verb::VARIANTS.iter().map(|verb| verb.as_str())
    }
}

impl TryFrom<String> for Verb {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        text.parse().map_err(|_| {
            let names: Vec<_> = Verb::names().collect();
            Violation::input(format!("Must be one of {}, not {text:?}.", names.join(", ")))
        })
    }
}

/// What a management token can do: at least one verb, each once.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, Serialize, ToSchema)]
#[deserr(try_from(Vec<Verb>) = Verbs::try_from -> Violation)]
#[schema(min_items = 1)]
#[serde(transparent)]
pub struct Verbs(Vec<Verb>);

impl TryFrom<Vec<Verb>> for Verbs {
    type Error = Violation;

    fn try_from(mut verbs: Vec<Verb>) -> Result<Self, Violation> {
        if verbs.is_empty() {
            return Err(Violation::empty());
        }
        verbs.sort_unstable();
        verbs.dedup();
        Ok(Verbs(verbs))
    }
}

impl Default for Verbs {
    /// Only `read`, the default of the API, the command line and the page.
    fn default() -> Self {
        Verbs(vec![Verb::Read])
    }
}

impl Verbs {
    /// Reads verbs from their texts.
    ///
    /// # Errors
    /// A text is not a verb, or there is no text.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Violation> {
        let verbs = texts.into_iter().map(|text| Verb::try_from(text.to_owned()));
        verbs.collect::<Result<Vec<_>, _>>()?.try_into()
    }

    /// The verbs.
    pub fn iter(&self) -> impl Iterator<Item = Verb> {
        self.0.iter().copied()
    }

    /// Whether these verbs include `verb`.
    pub fn permit(&self, verb: Verb) -> bool {
        self.0.contains(&verb)
    }
}

/// Separated by commas and spaces.
impl fmt::Display for Verbs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_sorted_and_have_no_duplicates() {
        let verbs = Verbs::parse(["create", "read", "create"]).unwrap();
        assert_eq!(verbs.to_string(), "read, create");
        assert!(verbs.permit(Verb::Read) && verbs.permit(Verb::Create) && !verbs.permit(Verb::Revoke));
        assert_eq!(Verbs::default().to_string(), "read");
    }

    #[test]
    fn an_unknown_verb_and_an_empty_list_are_refused() {
        assert_eq!(Verbs::parse(["delete"]).unwrap_err().code, "invalid_input");
        assert_eq!(Verbs::parse(["Read"]).unwrap_err().code, "invalid_input");
        assert_eq!(Verbs::parse([]).unwrap_err().code, "empty");
    }
}
