//! Reads `identity_headers` and `request_overrides`.

use serde_json::Value;

use super::fields::{Fields, Problems, kind};
use super::{IdentityHeader, IdentityHeaders};
use crate::ambiguity::Ambiguity;
use crate::header_policy::{HeaderPolicy, OVERRIDES, Treatment, folded};

/// Headers that must not be replaced or removed, because that would break the request or its credential.
const RESERVED: [&str; 19] = [
    "accept",
    "access-control-request-method",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "origin",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// `restrictions_needed`: a rule leaves restrictions to the upstream.
pub(super) fn identity_headers(fields: &mut Fields<'_>, restrictions_needed: bool) -> IdentityHeaders {
    let mut fields = fields.take_fields("identity_headers");
    let mut names: Vec<String> = Vec::new();
    let defaults = [
        ("user_id", "x-auth-user-id"),
        ("key_id", "x-auth-key-id"),
        ("scopes", "x-auth-scopes"),
        ("restrictions", "x-auth-restrictions"),
    ];
    let headers = defaults.map(|(field, default)| {
        let is_sent = !fields.is_null(field);
        let name = fields.take_string(field).unwrap_or_else(|| default.to_owned()).to_ascii_lowercase();
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        // A leading hyphen would be taken for a pseudo-header.
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(is_name) {
            fields.problem(
                field,
                format!("must be a header name of letters, digits and hyphens, not {name:?}"),
            );
        } else if RESERVED.contains(&name.as_str()) {
            fields.problem(field, format!("must not be {name:?}, which HTTP itself uses"));
        } else if OVERRIDES.iter().any(|known| known.name == name) {
            fields
                .problem(field, format!("must not be {name:?}, which overrides a request's method or path"));
        } else if names.contains(&name) {
            fields.problem(field, format!("{name:?} is taken by another identity header"));
        } else if field == "restrictions" && !is_sent && restrictions_needed {
            fields.problem(
                field,
                "must not be null: a rule has upstream_judges, so the upstream needs this header",
            );
        }
        names.push(name.clone());
        IdentityHeader { name: name.into(), is_sent }
    });
    fields.finish();
    IdentityHeaders(headers)
}

/// Reads `request_overrides` and adds the defaults for the names that it does not list.
pub(super) fn header_policy(
    fields: &mut Fields<'_>,
    identity_headers: &IdentityHeaders,
    problems: &Problems,
) -> HeaderPolicy {
    let mut fields = fields.take_fields("request_overrides");
    let mut listed: Vec<(String, String)> = Vec::new();
    let mut policy = HeaderPolicy::default();
    for list in ["allow", "remove", "refuse"] {
        for (at, value) in fields.take_list(list).unwrap_or_default().into_iter().enumerate() {
            let path = fields.path_of(&format!("{list}[{at}]"));
            let Some(written) = header_name(value, &path, problems) else { continue };
            let name = folded(&written);
            let known = OVERRIDES.iter().find(|known| known.name == name);
            if let Some((_, earlier)) = listed.iter().find(|(other, _)| *other == name) {
                problems.add(path, format!("{name:?} is listed already: {earlier}"));
                continue;
            }
            if identity_headers.0.iter().any(|own| *own.name == *name) {
                problems.add(&path, format!("{name:?} is an identity header, which is always removed"));
            } else if list == "allow" && known.is_none() {
                problems.add(&path, format!("{name:?} is allowed by default"));
            }
            match list {
                "remove" => policy.set(&name, Treatment::Remove),
                "refuse" => {
                    let kind = known.map_or(Ambiguity::Override, |known| known.kind);
                    policy.set(&name, Treatment::Refuse(kind));
                }
                _ => policy.allow(&written),
            }
            listed.push((name, path));
        }
    }
    fields.finish();
    // This includes allowed names: they keep their defaults in every other spelling.
    for known in OVERRIDES {
        if policy.listed(known.name.as_bytes()).is_none() {
            let treatment = if known.is_removed { Treatment::Remove } else { Treatment::Refuse(known.kind) };
            policy.set(known.name, treatment);
        }
    }
    identity_headers.0.iter().for_each(|own| policy.set(&own.name, Treatment::Remove));
    policy
}

/// A header name as written; `None` and a problem if it is not valid here.
fn header_name(value: Value, path: &str, problems: &Problems) -> Option<String> {
    let Value::String(written) = value else {
        problems.add(path, format!("must be a string, not {}", kind(&value)));
        return None;
    };
    // RFC 9110 section 5.6.2.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !written.starts_with(|c: char| c.is_ascii_alphanumeric()) || !written.bytes().all(is_token) {
        problems.add(path, format!("must be a header name, not {written:?}"));
        return None;
    }
    let name = folded(&written);
    if RESERVED.contains(&name.as_str()) {
        problems.add(path, format!("must not be {name:?}, which HTTP itself uses"));
        return None;
    }
    Some(written)
}
