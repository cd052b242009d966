//! Restrictions, which limit a key to some projects or organizations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The projects and organizations that a key is restricted to.
///
/// An unknown field is an error, and so is `null`: a restriction that is misspelt must not count as none. Further kinds of
/// restrictions need a [`Feature`](crate::Feature) of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restrictions {
    /// The ids of the permitted projects; `None` for all, empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "list")]
    pub projects: Option<Vec<ResourceId>>,
    /// The ids of the permitted organizations; `None` for all, empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "list")]
    pub organizations: Option<Vec<ResourceId>>,
}

/// A list that is present, and not `null`.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<ResourceId>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

impl Restrictions {
    /// Whether the key is not restricted.
    pub fn is_empty(&self) -> bool {
        self.projects.is_none() && self.organizations.is_none()
    }
}

/// For header values: `project:1 project:2 organization:acme`.
impl fmt::Display for Restrictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let projects = self.projects.iter().flatten().map(|id| ("project", id));
        let organizations = self.organizations.iter().flatten().map(|id| ("organization", id));
        for (at, (kind, id)) in projects.chain(organizations).enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{kind}:{id}")?;
        }
        Ok(())
    }
}

/// The id of a project or an organization: 1 to [`MAX_RESOURCE_ID_BYTES`] of the characters that URLs never encode.
///
/// Its JSON is a number if the text is a decimal number as JSON writes it, and a string otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceId(Box<str>);

/// The longest id of a project or an organization, in bytes.
pub const MAX_RESOURCE_ID_BYTES: usize = 64;

/// The text is not the id of a project or an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to {MAX_RESOURCE_ID_BYTES} letters, digits, hyphens, underscores, dots or tildes")]
pub struct InvalidResourceId;

impl ResourceId {
    /// The id as it is written in a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn number(&self) -> Option<u64> {
        self.0.parse().ok().filter(|number: &u64| number.to_string() == *self.0)
    }
}

impl FromStr for ResourceId {
    type Err = InvalidResourceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // RFC 3986 section 2.3: unreserved characters.
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let is_id = (1..=MAX_RESOURCE_ID_BYTES).contains(&text.len()) && text.bytes().all(is_unreserved);
        is_id.then(|| ResourceId(text.into())).ok_or(InvalidResourceId)
    }
}

impl From<u64> for ResourceId {
    fn from(number: u64) -> Self {
        ResourceId(number.to_string().into())
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.number() {
            Some(number) => serializer.serialize_u64(number),
            None => serializer.serialize_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ResourceId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a project or an organization")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ResourceId, E> {
                Ok(number.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ResourceId, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ResourceId {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_json_numbers_or_strings() {
        let written = r#"{"projects":[1,18446744073709551615],"organizations":["0185-ab","01","-1","1.0","18446744073709551616"]}"#;
        let restrictions: Restrictions = serde_json::from_str(written).unwrap();
        assert_eq!(serde_json::to_string(&restrictions).unwrap(), written);
        assert_eq!(restrictions.projects, Some(vec![id("1"), id("18446744073709551615")]));
        assert_eq!(serde_json::from_str::<ResourceId>("\"7\"").unwrap(), ResourceId::from(7));
    }

    #[test]
    fn an_id_has_characters_that_urls_never_encode() {
        for text in ["7", "acme", "a-b_c.d~e", &"x".repeat(64)] {
            assert_eq!(id(text).as_str(), text);
        }
        for text in ["", "@current", "a b", "a/b", "a%2Fb", "é", "a:b", &"x".repeat(65)] {
            assert_eq!(text.parse::<ResourceId>(), Err(InvalidResourceId), "{text:?}");
        }
        for json in ["-1", "1.5", "null", "true", "[1]", "\"@current\""] {
            assert!(serde_json::from_str::<ResourceId>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_absent_list_permits_all_and_an_empty_one_nothing() {
        let of = |json: &str| serde_json::from_str::<Restrictions>(json).unwrap();
        assert!(of("{}").is_empty());
        for json in
            [r#"{"projects":null}"#, r#"{"project":[7]}"#, r#"{"scoped_teams":[7]}"#, r#"{"projects":7}"#]
        {
            assert!(serde_json::from_str::<Restrictions>(json).is_err(), "{json}");
        }
        assert!(!of(r#"{"projects":[]}"#).is_empty() && !of(r#"{"organizations":[]}"#).is_empty());
    }

    #[test]
    fn the_header_value_names_each_id() {
        let restrictions =
            Restrictions { projects: Some(vec![id("1"), id("2")]), organizations: Some(vec![id("acme")]) };
        assert_eq!(restrictions.to_string(), "project:1 project:2 organization:acme");
    }
}
