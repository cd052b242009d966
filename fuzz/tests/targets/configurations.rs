//! Both forms of the filter's configuration: JSON text, and a `google.protobuf.Struct`, whose numbers are doubles.

use crate::formats::{expand, protobuf_struct};
use edge_key_auth::config::{Config, Problem};
use serde_json::Value;

/// The filter reads a `Struct` to a depth of 32, and JSON to 128.
const MAX_DEPTH: usize = 24;

const WORDS: &[&[u8]] = &[
    br#"{"key_service":{"cluster":"k"},"#,
    br#"{"key_service":{"cluster":"k","timeout_ms":"#,
    br#""routes":["#,
    br#""routes":"posthog""#,
    br#""routes":"documented""#,
    br#"{"path":"/a/{id}","scope":"insight"},"#,
    br#"{"path":"/a/{*rest}","scope":"*"},"#,
    br#"{"path":"/b","public":true},"#,
    br#""path":"#,
    br#""scope":"#,
    br#""public":"#,
    br#""methods":["GET"]"#,
    br#""methods":"#,
    br#""mode":"shadow""#,
    br#""sync":"off""#,
    br#""bearer_prefixes":["phs_","ph"]"#,
    br#""encoded_slashes":["id","x"]"#,
    br#""project":"id""#,
    br#""organization":"id""#,
    br#""upstream_judges":["project","organization","x"]"#,
    br#""path_case":"insensitive""#,
    br#""realm":"#,
    br#""error_bodies":"posthog""#,
    br#""cors_preflight":"forward""#,
    br#""identity_headers":{"user_id":"x-user","restrictions":"x-places"}"#,
    br#""hide_credentials":"#,
    br#""sync":{"wait_ms":"#,
    br#""on_unavailable":{"serve_stale_s":"#,
    br#""cache":{"max_active":"#,
    br#""lookups":{"max_digests":"#,
    br#""key_service":"#,
    br#""cluster":"#,
    br#""authority":"#,
    br#""token_env":"#,
    b"{id}",
    b"{*rest}",
    b"/",
    b"%2e",
    b"..",
    b"insight:read",
    b"*",
    b"true",
    b"false",
    b"null",
    b"18446744073709551615",
    b"9007199254740993",
    b"5e3",
    b"1.5",
    b"-0",
    b"1e400",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    br#"""#,
    br"\u0000",
];

#[test]
fn both_forms() {
    bolero::check!(name = "configurations_both_forms").for_each(|input: &[u8]| {
        let text = expand(input, WORDS);
        let Ok(value) = serde_json::from_slice::<Value>(&text) else { return };
        if !value.is_object() || depth(&value) > MAX_DEPTH {
            return;
        }
        let of_doubles = serde_json::to_vec(&with_doubles(&value)).unwrap();
        let from_text = Config::read(&of_doubles).map(|config| format!("{config:?}"));
        // Parse again, because serde_json does not parse every double as exactly the one that it wrote.
        let value: Value = serde_json::from_slice(&of_doubles).unwrap();
        let from_struct = Config::read(&protobuf_struct(&value)).map(|config| format!("{config:?}"));
        assert_eq!(from_text, from_struct);
        // The message of a problem has the number as written.
        let places =
            |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>();
        let as_written = Config::read(&text).map(|config| format!("{config:?}"));
        assert_eq!(as_written.map_err(places), from_struct.map_err(places));
    });
}

#[test]
fn any_bytes() {
    bolero::check!(name = "configurations_any_bytes").for_each(|input: &[u8]| {
        if let Err(problems) = Config::read(input) {
            assert!(!problems.is_empty());
        }
    });
}

fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(list) => list.iter().map(depth).max(),
        Value::Object(map) => map.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or_default()
}

fn with_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(list) => list.iter().map(with_doubles).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), with_doubles(value))).collect(),
        other => other.clone(),
    }
}
