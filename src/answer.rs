//! Parses the responses to callouts.

use std::rc::Rc;

use protocol::{ActiveVerdict, SyncResponse, VerifyResponse};
use serde::de::DeserializeOwned;

use crate::verdict::{Principal, Verdict};

/// The response to a callout of lookups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyAnswer {
    /// The epoch of the revision.
    pub epoch: String,
    /// The revision whose state the verdicts describe.
    pub revision: u64,
    /// One for each digest, in the order of the request.
    pub verdicts: Vec<KeyAnswer>,
}

/// The verdict on one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    /// The verdict.
    pub verdict: Verdict,
    /// Milliseconds from when the callout was sent until the key expires.
    pub expires_in_ms: Option<u64>,
}

/// Why a callout failed. None of these is a verdict on a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The host could not send the callout.
    #[error("the callout could not be sent: is the cluster configured?")]
    NotSent,
    /// No response within the timeout.
    #[error("no answer in time")]
    Timeout,
    /// The key service rejected the edge token.
    #[error("the key service refused the edge token")]
    Refused,
    /// A status other than 200.
    #[error("status {0}, from the key service or, if Envoy cannot connect to it, from Envoy")]
    Status(u16),
    /// A body that is not a valid response to the request.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// A response that contradicts an earlier one of the same epoch.
    #[error("the answer contradicts an earlier one: has the database lost changes?")]
    Contradiction,
}

/// Parses the response to a callout of that many `lookups`; a `status` of `None` means that there was no response.
///
/// # Errors
/// [`NoAnswer`] unless there is exactly one well-formed verdict for each digest.
pub fn read_verify(status: Option<u16>, body: &[u8], lookups: usize) -> Result<VerifyAnswer, NoAnswer> {
    let VerifyResponse { epoch, revision, verdicts } = read(status, body)?;
    if verdicts.len() != lookups {
        return Err(NoAnswer::Malformed(format!("{} verdicts for {lookups} digests", verdicts.len())));
    }
    let verdicts = verdicts.into_iter().map(key_answer).collect::<Result<_, _>>()?;
    Ok(VerifyAnswer { epoch, revision, verdicts })
}

/// Parses the response to a sync; a `status` of `None` means that there was no response.
///
/// # Errors
/// [`NoAnswer`] unless the response is well-formed.
pub fn read_sync(status: Option<u16>, body: &[u8]) -> Result<SyncResponse, NoAnswer> {
    read(status, body)
}

fn read<T: DeserializeOwned>(status: Option<u16>, body: &[u8]) -> Result<T, NoAnswer> {
    match status {
        None => Err(NoAnswer::Timeout),
        Some(200) => serde_json::from_slice(body).map_err(|error| NoAnswer::Malformed(error.to_string())),
        Some(401 | 403) => Err(NoAnswer::Refused),
        Some(other) => Err(NoAnswer::Status(other)),
    }
}

fn key_answer(verdict: protocol::Verdict) -> Result<KeyAnswer, NoAnswer> {
    match verdict {
        protocol::Verdict::Inactive => Ok(KeyAnswer { verdict: Verdict::Inactive, expires_in_ms: None }),
        protocol::Verdict::Active(active) => {
            let expires_in_ms = active.expires_in_ms;
            Ok(KeyAnswer { verdict: Verdict::Active(Rc::new(principal(active)?)), expires_in_ms })
        }
    }
}

/// The ids become header values, so they must be visible ASCII.
fn principal(active: ActiveVerdict) -> Result<Principal, NoAnswer> {
    for (field, id) in [("user_id", &active.user_id), ("key_id", &active.key_id)] {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoAnswer::Malformed(format!("{field} is not a header value")));
        }
    }
    let ActiveVerdict { user_id, key_id, scopes, restrictions, .. } = active;
    Ok(Principal::new(user_id.into(), key_id.into(), scopes, restrictions))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: &str = r#"{"status":"active","key_id":"k","user_id":"u","scopes":["insight:read","cohort:write"],"expires_in_ms":5}"#;

    fn body(verdicts: &str) -> Vec<u8> {
        format!(r#"{{"epoch":"e1","revision":1,"verdicts":[{verdicts}]}}"#).into_bytes()
    }

    #[test]
    fn verdicts_come_in_the_order_of_the_request() {
        let answers = read_verify(Some(200), &body(&format!(r#"{{"status":"inactive"}},{ACTIVE}"#)), 2)
            .unwrap()
            .verdicts;
        assert_eq!(answers[0], KeyAnswer { verdict: Verdict::Inactive, expires_in_ms: None });
        let Verdict::Active(principal) = &answers[1].verdict else { panic!("{answers:?}") };
        assert_eq!(
            (&*principal.user_id, &*principal.key_id, &*principal.scopes.text),
            ("u", "k", "insight:read cohort:write")
        );
        assert_eq!(answers[1].expires_in_ms, Some(5));
    }

    /// An active verdict with these restrictions.
    fn restricted(restrictions: &str) -> String {
        ACTIVE.replace(r#""expires_in_ms""#, &format!(r#""restrictions":{restrictions},"expires_in_ms""#))
    }

    #[test]
    fn restrictions_become_a_header_value() {
        let text = |verdict: &str| {
            let answer = read_verify(Some(200), &body(verdict), 1).unwrap().verdicts.remove(0);
            let Verdict::Active(principal) = answer.verdict else { panic!("{verdict}") };
            principal.restricted.as_ref().map(|restricted| restricted.text.to_string())
        };
        let both = restricted(r#"{"projects":[1,2],"organizations":["acme"]}"#);
        assert_eq!(text(&both).as_deref(), Some("project:1 project:2 organization:acme"));
        assert_eq!(text(&restricted(r#"{"projects":[]}"#)).as_deref(), Some(""), "restricted to nothing");
        for none in [ACTIVE, &restricted("{}")] {
            assert_eq!(text(none), None, "{none}");
        }
    }

    #[test]
    fn anything_else_is_not_an_answer() {
        let good = body(ACTIVE);
        assert_eq!(read_verify(None, b"", 1), Err(NoAnswer::Timeout));
        assert_eq!(read_verify(Some(503), &good, 1), Err(NoAnswer::Status(503)));
        assert_eq!(read_verify(Some(204), &good, 1), Err(NoAnswer::Status(204)));
        assert_eq!(read_verify(Some(401), &good, 1), Err(NoAnswer::Refused));
        for (body, asked) in [
            (good.clone(), 2),
            (good[..good.len() - 1].to_vec(), 1),
            (Vec::new(), 1),
            (b"[]".to_vec(), 1),
            (body(r#"{"status":"unknown"}"#), 1),
            (body(r#"{"status":"active"}"#), 1),
            (body(&ACTIVE.replace("insight:read", "insight:own")), 1),
            (body(&ACTIVE.replace("\"k\"", "\"k\\r\\nx: y\"")), 1),
            (body(&ACTIVE.replace("\"u\"", "\"\"")), 1),
            (body(&restricted(r#"{"projects":["a b"]}"#)), 1),
            (body(&restricted(r#"{"projects":[-1]}"#)), 1),
            (body(&restricted(r#"{"organizations":"acme"}"#)), 1),
            (body(&restricted("[1]")), 1),
            (body(&restricted("7")), 1),
        ] {
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(matches!(read_verify(Some(200), &body, asked), Err(NoAnswer::Malformed(_))), "{text}");
        }
    }
}
