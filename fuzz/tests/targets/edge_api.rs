//! The requests of edges to the key service.

use std::fmt::Debug;

use crate::formats::expand;
use protocol::{SyncRequest, VerifyRequest, is_object};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const WORDS: &[&[u8]] = &[
    br#"{"edge":"e","digests":["#,
    br#"{"edge":"e","epoch":"l","cursor":7,"wait_ms":2000,"used":{"k":7}}"#,
    br#""0000000000000000000000000000000000000000000000000000000000000000""#,
    br#""edge":"#,
    br#""digests":"#,
    br#""epoch":"#,
    br#""cursor":"#,
    br#""wait_ms":"#,
    br#""used":"#,
    b"null",
    b"true",
    b"18446744073709551616",
    b"1e3",
    b"-1",
    b"0",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    br#"""#,
    br"\u0000",
    b"\xff",
];

/// A JSON reader that uses the last of two fields of one name finds the same.
#[test]
fn bodies() {
    bolero::check!(name = "edge_api_bodies").for_each(|input: &[u8]| {
        let body = expand(input, WORDS);
        let (verify, sync) = (round_trip(&body), round_trip(&body));
        // Readers that also parse fields of other names refuse it, because these need not be UTF-8 here.
        let Ok(value) = serde_json::from_slice::<Value>(&body) else { return };
        if let Some(VerifyRequest { edge, digests, .. }) = verify {
            assert_eq!(value["edge"], edge);
            let digests: Vec<_> = digests.iter().map(|digest| digest.to_hex()).collect();
            let written = value["digests"].as_array().unwrap().iter().map(|hex| hex.as_str().unwrap());
            assert_eq!(digests, written.map(str::to_ascii_lowercase).collect::<Vec<_>>());
        }
        if let Some(SyncRequest { edge, epoch, cursor, wait_ms, used, .. }) = sync {
            assert_eq!((&value["edge"], value["wait_ms"].as_u64()), (&Value::from(edge), Some(wait_ms)));
            assert_eq!((value["epoch"].as_str(), value["cursor"].as_u64()), (epoch.as_deref(), cursor));
            assert_eq!(value["used"].as_object().map_or(0, |used| used.len()), used.len());
        }
    });
}

/// A body that is read as it would be written.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) -> Option<T> {
    if !is_object(body) {
        return None;
    }
    let read: T = serde_json::from_slice(body).ok()?;
    let written = serde_json::to_vec(&read).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), read);
    Some(read)
}
