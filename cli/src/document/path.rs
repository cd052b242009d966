//! Paths of fields in a file: `static_resources.listeners[0].name`.

/// The path of a field. A name that is empty or has characters other than letters, digits, `_` and `-` is quoted.
pub fn of_field(path: &str, name: &str) -> String {
    let is_plain =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match is_plain {
        true => join(path, name),
        false => format!("{path}[{name:?}]"),
    }
}

/// The path of an item of a list.
pub fn of_item(path: &str, at: usize) -> String {
    format!("{path}[{at}]")
}

/// The path of `inner`, which is relative to the field at `path`.
pub fn join(path: &str, inner: &str) -> String {
    match (path, inner) {
        ("", inner) => inner.to_owned(),
        (path, "") => path.to_owned(),
        (path, inner) if inner.starts_with('[') => format!("{path}{inner}"),
        (path, inner) => format!("{path}.{inner}"),
    }
}
