//! Setting files that are JSON lists. Each problem names the path of its entry or field.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use deserr::Deserr;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::validation::{FieldError, FieldErrors};

/// The most bytes of a file.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The content of a file. If it is too long, [`parse`] refuses it.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The entries of a list with at most `max` entries, which the message calls `noun`.
///
/// # Errors
/// The content is too long, not JSON, not a list, or has too many entries.
pub(crate) fn parse(text: &[u8], max: usize, noun: &str) -> Result<Vec<Value>, String> {
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("the file has more than {MAX_FILE_BYTES} bytes"));
    }
    let entries = match serde_json::from_slice(text) {
        Ok(Value::Array(entries)) => entries,
        Ok(_) => return Err("not a JSON list".to_owned()),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    if entries.len() > max {
        return Err(format!("the list has {} {noun}, more than {max}", entries.len()));
    }
    Ok(entries)
}

/// A problem for each field that occurs more than once in its entry. A JSON value has only the last of them.
pub(crate) fn repeated_fields(text: &[u8]) -> Vec<String> {
    let entries: Vec<FieldNames> = serde_json::from_slice(text).unwrap_or_default();
    let problems = entries.iter().enumerate().flat_map(|(place, entry)| {
        let repeated = entry.repeated().into_iter();
        repeated.map(move |name| format!("[{place}].{name}: This field occurs more than once."))
    });
    problems.collect()
}

/// The names of an entry's fields, in the order of the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FieldNames {
    OfObject(#[serde(deserialize_with = "names")] Vec<String>),
    OfOther(IgnoredAny),
}

impl FieldNames {
    /// The names that occur again, once each.
    fn repeated(&self) -> Vec<&str> {
        let FieldNames::OfObject(names) = self else { return Vec::new() };
        let earlier = |at: usize| names[..at].iter().filter(|name| **name == names[at]).count();
        (0..names.len()).filter(|&at| earlier(at) == 1).map(|at| names[at].as_str()).collect()
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct NamesVisitor;
    impl<'de> Visitor<'de> for NamesVisitor {
        type Value = Vec<String>;

        fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
            text.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_map(NamesVisitor)
}

/// The entry at a place of the list, or notes its problems.
pub(crate) fn entry<T: Deserr<FieldErrors>>(
    place: usize,
    value: Value,
    problems: &mut Vec<String>,
) -> Option<T> {
    let read = deserr::deserialize::<T, _, FieldErrors>(value);
    read.map_err(|errors| problems.extend(errors.iter().map(|error| problem(place, error)))).ok()
}

/// The text of a problem in the entry at a place of the list.
pub(crate) fn problem(place: usize, error: &FieldError) -> String {
    let (field, detail) = (error.path(), &error.violation.detail);
    let dot = if field.is_empty() { "" } else { "." };
    format!("[{place}]{dot}{field}: {detail}")
}
