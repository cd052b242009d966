//! The answers of the key service to the filter.

use crate::formats::expand;
use edge_key_auth::answer::{read_sync, read_verify};
use edge_key_auth::verdict::Verdict;
use protocol::Invalidation;
use serde_json::Value;

const WORDS: &[&[u8]] = &[
    br#"{"epoch":"l","revision":7,"verdicts":["#,
    br#"{"status":"active","key_id":"k","user_id":"u","scopes":["insight:read"],"expires_in_ms":null}"#,
    br#"{"status":"inactive"}"#,
    br#"{"epoch":"l","revision":7,"lease_ms":6000,"#,
    br#""changed":["0000000000000000000000000000000000000000000000000000000000000000"]"#,
    br#""changed":[]"#,
    br#""reset":true"#,
    br#""reset":false"#,
    br#""status":"active""#,
    br#""status":"inactive""#,
    br#""key_id":"#,
    br#""user_id":"#,
    br#""scopes":"#,
    br#""expires_in_ms":"#,
    br#""epoch":"#,
    br#""revision":"#,
    br#""lease_ms":"#,
    br#""verdicts":"#,
    br"\r\n",
    br#"["*"]"#,
    b"null",
    b"18446744073709551616",
    b"1.5",
    b"-1",
    b"0",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    br#"""#,
    b"\xff",
];

#[test]
fn to_a_verify() {
    bolero::check!(name = "answers_to_a_verify").for_each(|input: &[u8]| {
        let (&asked, input) = input.split_first().unwrap_or((&0, &[]));
        let (body, asked) = (expand(input, WORDS), usize::from(asked & 3));
        let Ok(answer) = read_verify(Some(200), &body, asked) else { return };
        assert_eq!(answer.verdicts.len(), asked);
        let Some(value) = fields(&body) else { return };
        assert_eq!(
            (value["epoch"].as_str(), value["revision"].as_u64()),
            (Some(&*answer.epoch), Some(answer.revision))
        );
        for (answer, written) in answer.verdicts.iter().zip(value["verdicts"].as_array().unwrap()) {
            assert_eq!(matches!(answer.verdict, Verdict::Active(_)), written["status"] == "active");
            assert_eq!(
                answer.expires_in_ms,
                written["expires_in_ms"].as_u64().filter(|_| written["status"] == "active")
            );
            let Verdict::Active(principal) = &answer.verdict else { continue };
            assert_eq!(
                (&written["key_id"], &written["user_id"]),
                (&(*principal.key_id).into(), &(*principal.user_id).into())
            );
            // A header value must not contain a line break.
            for text in [&principal.user_id, &principal.key_id] {
                assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
            }
            assert!(principal.scopes.text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            let written: Vec<_> =
                written["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect();
            assert_eq!(principal.scopes.text.split_terminator(' ').collect::<Vec<_>>(), written);
        }
    });
}

#[test]
fn to_a_sync() {
    bolero::check!(name = "answers_to_a_sync").for_each(|input: &[u8]| {
        let body = expand(input, WORDS);
        let Ok(answer) = read_sync(Some(200), &body) else { return };
        let Some(value) = fields(&body) else { return };
        let changed = value["changed"].as_array().map(Vec::len);
        match &answer.invalidation {
            Invalidation::Reset => assert!(changed.is_none() && value["reset"] == true),
            Invalidation::Changed(digests) => {
                assert!(changed == Some(digests.len()) && value["reset"] != true)
            }
        }
        assert_eq!(value["lease_ms"].as_u64(), Some(answer.lease_ms));
        let written = serde_json::to_vec(&answer).unwrap();
        assert_eq!(read_sync(Some(200), &written), Ok(answer));
    });
}

/// The body as another reader parses it. That reader uses the last of two fields of one name. `None` if it also parses a field of
/// another name, which need not be UTF-8 here.
fn fields(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}
