//! Scopes, the permissions of a key: `object:read`, `object:write`, or `*` for everything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The action that a scope permits on an object. `Write` includes `Read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// To read it.
    Read,
    /// To read and change it.
    Write,
}

impl Action {
    /// The action in the text of a scope.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::Write => "write",
        }
    }
}

/// One scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// `*`: everything.
    All,
    /// `object:action`.
    Object {
        /// The name of the resource, such as `feature_flag`: lower-case ASCII letters, digits and `_`.
        object: Box<str>,
        /// The permitted action.
        action: Action,
    },
}

/// The text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid scope: {0}")]
pub struct InvalidScope(pub String);

impl Scope {
    /// Whether this scope includes `required`.
    pub fn satisfies(&self, required: &Scope) -> bool {
        match (self, required) {
            (Scope::All, _) => true,
            (Scope::Object { .. }, Scope::All) => false,
            (Scope::Object { object, action }, Scope::Object { object: wanted, action: least }) => {
                object == wanted && action >= least
            }
        }
    }

    /// The object's name; `None` for `*`.
    pub fn object(&self) -> Option<&str> {
        match self {
            Scope::All => None,
            Scope::Object { object, .. } => Some(object),
        }
    }
}

/// Whether `name` is a valid object of a scope.
pub fn is_scope_object(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidScope(text.to_owned());
        if text == "*" {
            return Ok(Scope::All);
        }
        let (object, action) = text.split_once(':').ok_or_else(invalid)?;
        let action = match action {
            "read" => Action::Read,
            "write" => Action::Write,
            _ => return Err(invalid()),
        };
        if !is_scope_object(object) {
            return Err(invalid());
        }
        Ok(Scope::Object { object: object.into(), action })
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("*"),
            Scope::Object { object, action } => write!(f, "{object}:{}", action.as_str()),
        }
    }
}

/// The scopes of a key, or of a user's permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeSet(Vec<Scope>);

impl ScopeSet {
    /// Every scope: `*`.
    pub fn all() -> Self {
        ScopeSet(vec![Scope::All])
    }

    /// Parses scopes. It keeps their order and drops repetitions.
    ///
    /// # Errors
    /// The first text that is not a scope.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidScope> {
        let scopes = texts.into_iter().map(str::parse).collect::<Result<Vec<Scope>, _>>()?;
        Ok(scopes.into_iter().collect())
    }

    /// Whether both permit the same, in whatever order and with whatever redundant scopes.
    pub fn is_like(&self, other: &ScopeSet) -> bool {
        let within = |some: &ScopeSet, whole: &ScopeSet| some.iter().all(|scope| whole.permits(scope));
        within(self, other) && within(other, self)
    }

    /// Whether some scope of the set includes `required`.
    pub fn permits(&self, required: &Scope) -> bool {
        self.0.iter().any(|scope| scope.satisfies(required))
    }

    /// Limits these scopes to `limit`.
    ///
    /// A scope that `limit` grants in part becomes that part: limited to `insight:read`, both `insight:write` and `*` become
    /// `insight:read`.
    pub fn limited_to(&self, limit: &ScopeSet) -> ScopeSet {
        let kept = self.0.iter().filter(|scope| limit.permits(scope));
        let shrunk = limit.0.iter().filter(|scope| self.permits(scope));
        kept.chain(shrunk).cloned().collect::<ScopeSet>().without_implied()
    }

    /// Drops each scope that another scope of the set includes.
    fn without_implied(self) -> ScopeSet {
        let implied = |scope: &Scope| self.0.iter().any(|other| other != scope && other.satisfies(scope));
        ScopeSet(self.0.iter().filter(|scope| !implied(scope)).cloned().collect())
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Vec::new();
        for scope in scopes {
            if !set.contains(&scope) {
                set.push(scope);
            }
        }
        ScopeSet(set)
    }
}

/// Separated by single spaces, as in RFC 6749, section 3.3.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{scope}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &str) -> ScopeSet {
        ScopeSet::parse(texts.split_whitespace()).unwrap()
    }

    #[test]
    fn write_satisfies_read_and_a_star_satisfies_all() {
        let permits = |held: &str, required: &str| set(held).permits(&required.parse().unwrap());
        assert!(permits("insight:write", "insight:read"));
        assert!(permits("insight:read", "insight:read"));
        assert!(!permits("insight:read", "insight:write"));
        assert!(!permits("insight:write", "cohort:read"));
        assert!(permits("*", "cohort:write"));
        assert!(permits("*", "*"));
        assert!(!permits("insight:write cohort:write", "*"));
        assert!(!permits("", "insight:read"));
    }

    #[test]
    fn scopes_are_limited_to_the_limit() {
        let limited = |held: &str, limit: &str| set(held).limited_to(&set(limit)).to_string();
        assert_eq!(limited("insight:write cohort:read", "insight:read"), "insight:read");
        assert_eq!(limited("*", "insight:read cohort:write"), "insight:read cohort:write");
        assert_eq!(limited("insight:read", "*"), "insight:read");
        assert_eq!(limited("insight:read", "insight:write"), "insight:read");
        assert_eq!(limited("*", "*"), "*");
        assert_eq!(limited("*", ""), "");
        assert_eq!(limited("insight:write", "cohort:write"), "");
    }

    #[test]
    fn an_object_has_lower_case_letters_digits_and_underscores() {
        for object in ["insight", "feature_flag", "oauth2"] {
            let scope: Scope = format!("{object}:read").parse().unwrap();
            assert_eq!(scope.object(), Some(object));
        }
        assert_eq!(Scope::All.object(), None);
    }

    #[test]
    fn a_set_is_empty_or_has_its_scopes_in_order() {
        assert!(set("").is_empty() && !set("*").is_empty());
        assert_eq!(ScopeSet::all(), set("*"));
        let scopes = set("insight:read * insight:read");
        assert_eq!(scopes.iter().map(Scope::to_string).collect::<Vec<_>>(), ["insight:read", "*"]);
    }

    #[test]
    fn a_text_that_is_not_a_scope_is_in_the_error() {
        for text in
            ["", "insight", "insight:", ":read", "insight:admin", "Insight:read", "a b:read", "*:read", "**"]
        {
            assert_eq!(text.parse::<Scope>(), Err(InvalidScope(text.into())), "{text:?}");
        }
    }
}
