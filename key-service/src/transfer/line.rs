//! One line of a file, and the check of its fields.

use protocol::{KEY_PREFIX, KeyDigest, ResourceId, Restrictions, ScopeSet};

use super::{DIGEST_PREFIX, FIELDS};
use crate::accounts::normal_address;
use crate::keys::excess::Asked;
use crate::keys::rules::Scopes;
use crate::keys::{Key, ResourceIds};
use crate::label::Label;
use crate::random;
use crate::time::Timestamp;
use crate::validation::Violation;

/// The mask of a value of which only the digest is known.
const UNKNOWN_MASK: &str = "********";

/// An unchecked line: its fields that are present and not empty, in the order of [`FIELDS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) number: u64,
    pub(super) fields: [Option<String>; FIELDS.len()],
}

/// A line that is valid by itself.
#[derive(Clone, Debug)]
pub struct Line {
    pub(crate) number: u64,
    /// The address of the key's user.
    pub email: String,
    /// The digest of the key's value.
    pub digest: KeyDigest,
    pub(crate) label: String,
    pub(crate) scopes: ScopeSet,
    pub(crate) restrictions: Restrictions,
    pub(crate) mask_value: String,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) last_rolled_at: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Line {
    /// What the line asks the key to allow.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { scopes: &self.scopes, restrictions: &self.restrictions, expires_at: self.expires_at }
    }

    /// The key of the line, for this user.
    pub fn key(&self, user_id: &str) -> Key {
        Key {
            id: random::ordered_uuid().to_string(),
            user_id: user_id.to_owned(),
            label: self.label.clone(),
            mask_value: self.mask_value.clone(),
            scopes: self.scopes.clone(),
            restrictions: self.restrictions.clone(),
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            last_rolled_at: self.last_rolled_at,
            expires_at: self.expires_at,
            old_value_expires_at: None,
        }
    }
}

/// A refused line and the reason, without any part of a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// The line's number, from 1; the number of the first line if the label contains line breaks.
    pub line: u64,
    /// The invalid field; empty if the line as a whole is invalid.
    pub field: &'static str,
    /// The problem, for people.
    pub reason: String,
}

impl Refused {
    pub(crate) fn new(line: u64, field: &'static str, reason: impl Into<String>) -> Self {
        Refused { line, field, reason: reason.into() }
    }
}

/// Checks what can be checked without the database. A key without a time of creation gets `now`.
pub(super) fn check(written: Written, now: Timestamp) -> Result<Line, Refused> {
    let number = written.number;
    checked(written, now).map_err(|(field, Violation { detail, .. })| {
        // With mixed-up columns, a value can be in any field, and an error must not repeat it.
        let shows_value = detail.contains(KEY_PREFIX);
        Refused::new(number, field, if shows_value { "this is a key's value".to_owned() } else { detail })
    })
}

fn checked(written: Written, now: Timestamp) -> Result<Line, (&'static str, Violation)> {
    let [
        email,
        label,
        secure_value,
        scopes,
        created_at,
        last_used_at,
        mask_value,
        last_rolled_at,
        expires_at,
        scoped_teams,
        scoped_organizations,
    ] = written.fields;
    let required = |field, text: Option<String>| text.ok_or_else(|| (field, Violation::required()));
    let of = |field| move |violation| (field, violation);
    let time = |field, text: Option<String>| {
        let parse = |text: String| {
            Timestamp::parse(&text).map_err(|error| (field, Violation::input(error.to_string())))
        };
        text.map(parse).transpose()
    };
    Ok(Line {
        number: written.number,
        email: normal_address(&required("email", email)?).map_err(of("email"))?,
        label: required("label", label)?.parse::<Label>().map_err(of("label"))?.into(),
        digest: digest(&required("secure_value", secure_value)?).map_err(of("secure_value"))?,
        scopes: read_scopes(&required("scopes", scopes)?).map_err(of("scopes"))?.into(),
        restrictions: Restrictions {
            projects: read_ids(scoped_teams).map_err(of("scoped_teams"))?,
            organizations: read_ids(scoped_organizations).map_err(of("scoped_organizations"))?,
        },
        created_at: time("created_at", created_at)?.unwrap_or(now),
        last_used_at: time("last_used_at", last_used_at)?,
        mask_value: mask_value.map_or_else(|| Ok(UNKNOWN_MASK.to_owned()), mask).map_err(of("mask_value"))?,
        last_rolled_at: time("last_rolled_at", last_rolled_at)?,
        expires_at: time("expires_at", expires_at)?,
    })
}

fn digest(secure_value: &str) -> Result<KeyDigest, Violation> {
    let invalid = |detail| Err(Violation::input(detail));
    match secure_value.strip_prefix(DIGEST_PREFIX).map(str::parse) {
        Some(Ok(digest)) => Ok(digest),
        _ if secure_value.starts_with("pbkdf2_sha256$") => {
            invalid("a pbkdf2_sha256 hash cannot be imported: only the key's owner can replace the key")
        }
        _ if secure_value.contains(KEY_PREFIX) => invalid(
            "this is a key's value; write sha256$ and the SHA-256 of the value in 64 hexadecimal digits",
        ),
        _ => invalid("not sha256$ and 64 hexadecimal digits"),
    }
}

fn read_scopes(text: &str) -> Result<Scopes, Violation> {
    Scopes::parse(read_list(text)?.iter().map(String::as_str))
}

/// Reads the ids of a restriction. No list and an empty one mean no restriction.
fn read_ids(text: Option<String>) -> Result<Option<Vec<ResourceId>>, Violation> {
    let text = text.unwrap_or_default();
    // With mixed-up columns, a value can be in any field. It would pass as an id.
    if text.contains(KEY_PREFIX) {
        return Err(Violation::input("this is a key's value"));
    }
    let items = read_list(&text)?;
    Ok(ResourceIds::parse(items.iter().map(String::as_str))?.into())
}

/// The items of a JSON list, of an array of PostgreSQL such as `{a,b}`, or of a list with commas or spaces between them.
/// `NULL` has no items.
fn read_list(text: &str) -> Result<Vec<String>, Violation> {
    let malformed = || Violation::input("neither a JSON list, an array such as {a,b}, nor items with commas");
    let text = text.trim();
    if text == "NULL" {
        return Ok(Vec::new());
    }
    if text.starts_with('[') {
        let list: Vec<JsonItem> = serde_json::from_str(text).map_err(|_| malformed())?;
        return Ok(list.into_iter().map(JsonItem::into_text).collect());
    }
    // No item has a character that PostgreSQL would escape.
    let items: Vec<_> = match text.strip_prefix('{') {
        Some(array) => match array.strip_suffix('}').ok_or_else(malformed)?.trim() {
            "" => Vec::new(),
            array => array.split(',').map(str::trim).collect(),
        },
        None => text.split([',', ' ']).filter(|item| !item.is_empty()).collect(),
    };
    let item = |item: &str| {
        let quoted = item.strip_prefix('"').and_then(|item| item.strip_suffix('"'));
        // Without quotation marks, it is the null of SQL or of JSON.
        let unquoted = Some(item).filter(|item| !item.eq_ignore_ascii_case("NULL"));
        quoted.or(unquoted).map(str::to_owned).ok_or_else(malformed)
    };
    items.into_iter().map(item).collect()
}

/// An item of a JSON list: a scope, or an id, which may be a number.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum JsonItem {
    Text(String),
    Number(u64),
}

impl JsonItem {
    fn into_text(self) -> String {
        match self {
            JsonItem::Text(text) => text,
            JsonItem::Number(number) => number.to_string(),
        }
    }
}

/// A mask as [`protocol::ApiKey::mask`] makes it: a longer one could reveal the value.
fn mask(text: String) -> Result<String, Violation> {
    let is_part = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_graphic());
    let is_mask = text.split_once("...").is_some_and(|(first, last)| is_part(first) && is_part(last));
    if is_mask || text == UNKNOWN_MASK {
        return Ok(text);
    }
    Err(Violation::input("not a mask: four characters, ..., and four characters"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

    pub(in crate::transfer) fn written(fields: &[&str]) -> Written {
        let mut written = Written { number: 7, ..Written::default() };
        for (place, text) in written.fields.iter_mut().zip(fields) {
            *place = Some((*text).to_owned()).filter(|text| !text.is_empty());
        }
        written
    }

    fn secure_value() -> String {
        format!("sha256${}", KeyDigest::of_value("phx_a").to_hex())
    }

    fn reason(place: usize, text: &str) -> (u64, &'static str, String) {
        let secure_value = secure_value();
        let mut fields = ["demo@example.com", "CI", &secure_value, "*", "", "", "", "", "", "", ""];
        fields[place] = text;
        let Refused { line, field, reason } = check(written(&fields), NOW).unwrap_err();
        (line, field, reason)
    }

    #[test]
    fn the_six_fields_of_posthog_make_a_key() {
        let times = ["2025-01-31T12:00:00Z", "2026-01-31T12:00:00+01:00"];
        let secure_value = secure_value();
        let fields =
            [" Demo@Example.com ", "CI", &secure_value, "insight:read, cohort:write", times[0], times[1]];
        let line = check(written(&fields), NOW).unwrap();
        assert_eq!((line.number, line.email.as_str(), line.label.as_str()), (7, "demo@example.com", "CI"));
        assert_eq!(line.digest, KeyDigest::of_value("phx_a"));
        assert_eq!(line.scopes.to_string(), "insight:read cohort:write");
        assert_eq!(line.created_at.to_string(), times[0]);
        assert_eq!(line.last_used_at.unwrap().to_string(), "2026-01-31T11:00:00Z");
        assert_eq!((line.mask_value.as_str(), line.expires_at), ("********", None));
    }

    #[test]
    fn a_list_is_json_or_an_array_of_postgresql_or_has_commas() {
        let read = |text: &str| read_ids(Some(text.to_owned()));
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<ResourceId>>());
        for text in [
            "[1,2]",
            "[ 1, \"2\" ]",
            "{1,2}",
            "{1, 2}",
            "{\"1\",2}",
            "{1,2,1}",
            "1,2",
            "1 2",
            " 1, 2 ",
            "1,2,1",
        ] {
            assert_eq!(read(text), Ok(ids(&["1", "2"])), "{text}");
        }
        let uuid = "0185a3b0-5d5c-0000-8e4f-2c9a1b7d6e55";
        assert_eq!(read(&format!("{{{uuid}}}")), Ok(ids(&[uuid])));
        assert_eq!(read("{\"NULL\"}"), Ok(ids(&["NULL"])));
        for text in ["", " ", "[]", "{}", "{ }", "NULL"] {
            assert_eq!(read(text), Ok(None), "{text:?}");
        }
        for text in [
            "{1",
            "1}",
            "[1",
            "[1.5]",
            "[null]",
            "{1,}",
            "{NULL}",
            "{a b}",
            "{{1},{2}}",
            "null",
            "1,NULL",
            "*",
            "\"1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn scopes_are_written_as_each_list() {
        for text in [
            "insight:read cohort:write",
            "insight:read,cohort:write",
            r#"["insight:read","cohort:write"]"#,
            "{insight:read,cohort:write}",
            r#"{"insight:read", cohort:write}"#,
        ] {
            assert_eq!(ScopeSet::from(read_scopes(text).unwrap()).to_string(), "insight:read cohort:write");
        }
        assert_eq!(ScopeSet::from(read_scopes("{*}").unwrap()), ScopeSet::all());
        for text in ["{}", "[]", "NULL", "{NULL}", "{insight:read", "[1]"] {
            assert!(read_scopes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_created_at_a_key_is_created_now() {
        let line = check(written(&["a@b.c", "CI", &secure_value(), "*"]), NOW).unwrap();
        assert_eq!(line.created_at, NOW);
    }

    #[test]
    fn a_field_that_cannot_be_imported_is_named() {
        assert_eq!(reason(0, "nobody"), (7, "email", "Enter a valid email address.".into()));
        assert_eq!(reason(1, &"x".repeat(41)).1, "label");
        assert_eq!(reason(2, "").2, "This field is required.");
        assert!(reason(2, "pbkdf2_sha256$260000$temp$abc").2.contains("cannot be imported"));
        assert_eq!(reason(2, "sha256$abc").2, "not sha256$ and 64 hexadecimal digits");
        assert_eq!(reason(3, "insight:look"), (7, "scopes", "Invalid scope: insight:look".into()));
        assert!(reason(3, "[1").2.starts_with("neither a JSON list"));
        for (place, field) in
            [(4, "created_at"), (5, "last_used_at"), (7, "last_rolled_at"), (8, "expires_at")]
        {
            assert_eq!(reason(place, "31.1.2025").1, field);
        }
        assert_eq!(reason(6, "phx_abcdefghijk").1, "mask_value");
        assert_eq!(reason(9, "{1,2").1, "scoped_teams");
        assert_eq!(reason(10, "{a/b}").1, "scoped_organizations");
    }

    #[test]
    fn a_refusal_never_repeats_a_value() {
        for place in 0..FIELDS.len() {
            let value = "phx_1234567890abcdef";
            if place != 1 {
                let (_, _, reason) = reason(place, value);
                assert!(!reason.contains("123"), "{reason}");
            }
        }
    }
}
