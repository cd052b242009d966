//! Scopes, and scopes under a limit.

use crate::formats::expand;
use protocol::{Scope, ScopeSet};

const WORDS: &[&[u8]] = &[
    b" ",
    b"insight:read ",
    b"insight:write ",
    b"cohort:read ",
    b"cohort:write ",
    b"* ",
    b":read ",
    b":write ",
    b"|",
    b"insight",
    b"feature_flag",
    "é".as_bytes(),
];

/// `held|limit`, each a list of scopes.
#[test]
fn texts_and_limits() {
    bolero::check!(name = "scopes").for_each(|input: &[u8]| {
        let text = expand(input, WORDS);
        let Ok(text) = std::str::from_utf8(&text) else { return };
        for scope in text.split([' ', '|']) {
            match scope.parse::<Scope>() {
                Ok(parsed) => assert_eq!(parsed.to_string(), scope),
                Err(error) => assert_eq!(error.0, scope),
            }
        }
        let (held, limit) = text.split_once('|').unwrap_or((text, "insight:read cohort:write"));
        let (Some(held), Some(limit)) = (set(held), set(limit)) else { return };
        for set in [&held, &limit] {
            assert_eq!(self::set(&set.to_string()).as_ref(), Some(set));
            let json = serde_json::to_string(set).unwrap();
            assert_eq!(&serde_json::from_str::<ScopeSet>(&json).unwrap(), set);
        }
        let left = held.limited_to(&limit);
        let of_objects = ["insight", "cohort", "feature_flag"].map(|object| {
            ["read", "write"].map(|action| format!("{object}:{action}").parse::<Scope>().unwrap())
        });
        let named = held.iter().chain(limit.iter()).cloned();
        for required in of_objects.into_iter().flatten().chain(named).chain([Scope::All]) {
            let both = held.permits(&required) && limit.permits(&required);
            assert_eq!(left.permits(&required), both, "{required} of {held} within {limit}");
        }
    });
}

fn set(texts: &str) -> Option<ScopeSet> {
    ScopeSet::parse(texts.split(' ').filter(|text| !text.is_empty())).ok()
}
