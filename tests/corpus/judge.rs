//! Rules for every request that reaches the upstream.

use crate::upstream::Seen;

/// The headers that only the filter may set, and sets for each authenticated request.
const IDENTITY: [&str; 3] = ["x-auth-user-id", "x-auth-key-id", "x-auth-scopes"];

/// A header that only the filter may set: for restricted keys, and where the upstream judges restrictions.
const RESTRICTIONS: &str = "x-auth-restrictions";

/// Headers that make some servers use another method or path.
const OVERRIDES: [&str; 8] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-uri",
];

/// The target of a smuggled request contains this text.
pub(crate) const SMUGGLED: &str = "smuggled";

/// The identity of the key's user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    values: [String; 3],
    /// The values of [`RESTRICTIONS`].
    restrictions: Vec<String>,
    /// The only project of the key, if it is restricted.
    project: Option<&'static str>,
}

impl Identity {
    /// The identity that the filter set for a request with the key.
    pub(crate) fn of(seen: &Seen, project: Option<&'static str>) -> Self {
        let values = IDENTITY.map(|name| {
            let values = seen.header(name);
            assert_eq!(values.len(), 1, "{name}");
            values[0].to_owned()
        });
        let restrictions: Vec<String> = seen.header(RESTRICTIONS).into_iter().map(str::to_owned).collect();
        match project {
            Some(project) => assert_eq!(restrictions, [format!("project:{project}")]),
            None => assert!(restrictions.is_empty() || restrictions == ["*"], "{restrictions:?}"),
        }
        Identity { values, restrictions, project }
    }
}

/// The faults of these requests. Those to authenticated routes must have this identity.
pub(crate) fn judge(seen: &[Seen], identity: Option<&Identity>) -> Vec<String> {
    seen.iter().flat_map(|seen| judge_one(seen, identity)).collect()
}

fn judge_one(seen: &Seen, identity: Option<&Identity>) -> Vec<String> {
    let mut wrong = seen.problems.clone();
    let class = class(strict(&seen.target), &seen.method);
    let lenient = lenient(&seen.target);
    if self::class(&lenient, &seen.method) != class {
        wrong.push(format!("{} is {lenient} to a lenient server", seen.target));
    }
    if seen.target.contains(SMUGGLED) {
        wrong.push("a smuggled request arrived".to_owned());
    }
    match (class, identity) {
        (Class::Public, _) | (Class::Insights, Some(_)) => {}
        _ => wrong.push(format!("{} {} reached a handler that it must not reach", seen.method, seen.target)),
    }
    let project = identity.and_then(|identity| identity.project);
    if let Some(project) = project.filter(|_| class == Class::Insights)
        && !lenient.starts_with(&format!("/api/projects/{project}/insights"))
    {
        wrong.push(format!("{} is not of project {project}", seen.target));
    }
    let all = seen.headers.iter().chain(&seen.trailers);
    for (name, _) in all.clone() {
        let mut own = IDENTITY.iter().chain([&RESTRICTIONS]);
        let is_identity = own.clone().any(|own| folded(name) == *own);
        if is_identity && (class == Class::Public || !own.any(|own| name == own)) {
            wrong.push(format!("forged {name}"));
        }
        if OVERRIDES.iter().any(|own| folded(name) == *own) {
            wrong.push(format!("{name} reached the upstream"));
        }
    }
    if let (Class::Insights, Some(identity)) = (class, identity) {
        let expected = identity.values.iter().map(std::slice::from_ref).chain([&*identity.restrictions]);
        for (name, expected) in IDENTITY.iter().chain([&RESTRICTIONS]).zip(expected) {
            let values: Vec<&str> =
                all.clone().filter(|(header, _)| header == name).map(|(_, value)| value.as_str()).collect();
            if values != expected {
                wrong.push(format!("{name} is {values:?}, not {expected:?}"));
            }
        }
    }
    for (name, value) in &seen.headers {
        let names_identity = IDENTITY.iter().any(|own| value.to_ascii_lowercase().contains(own));
        if ["connection", "keep-alive", "proxy-connection"].contains(&name.as_str()) && names_identity {
            wrong.push(format!("{name}: {value} makes the next server remove identity"));
        }
    }
    wrong
}

/// The class of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Public,
    /// The routes that the key may read.
    Insights,
    Other,
}

fn class(path: &str, method: &str) -> Class {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments[..] {
        ["decide" | "capture" | "batch"] => Class::Public,
        // These are public in the table `posthog` only. No request of the corpus names them otherwise.
        ["flags" | "e" | "s" | "track" | "engage"] | ["array", _, ..] | ["static", ..] => Class::Public,
        ["i", "v0", "e" | "ai"] | ["i", "v0", "ai", "batch" | "otel"] => Class::Public,
        ["api", "environments", _, "insights", ..] if ["GET", "HEAD", "OPTIONS"].contains(&method) => {
            Class::Insights
        }
        ["api", "insights", ..] | ["api", "projects", _, "insights", ..]
            if ["GET", "HEAD", "OPTIONS"].contains(&method) =>
        {
            Class::Insights
        }
        _ => Class::Other,
    }
}

/// The path as the rules read it.
fn strict(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// The path as the most lenient server reads it.
fn lenient(target: &str) -> String {
    let mut path = strict(target).to_owned();
    for _ in 0..3 {
        path = decoded(&path);
    }
    let path = path.replace('\\', "/");
    let path = path.split(['?', '#', '\0']).next().unwrap_or_default();
    let mut resolved: Vec<&str> = Vec::new();
    for segment in path.split('/').map(|segment| segment.split(';').next().unwrap_or_default().trim()) {
        match segment {
            "" | "." => {}
            ".." => drop(resolved.pop()),
            segment => resolved.push(segment),
        }
    }
    format!("/{}", resolved.join("/"))
}

fn decoded(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let escape = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push_str(&rest[..at]);
        out.push(escape.map_or('%', char::from));
        rest = &rest[at + if escape.is_some() { 3 } else { 1 }..];
    }
    out + rest
}

/// A header's name as CGI and PHP read it.
fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
