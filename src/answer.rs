//! What a callout brought back: verdicts, or no answer and why.

use std::rc::Rc;

use protocol::{ActiveVerdict, SyncResponse, VerifyResponse};
use serde::de::DeserializeOwned;

use crate::verdict::{Holder, Verdict};

/// The answer to a verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The history that the revision belongs to.
    pub log: String,
    /// The revision whose state the verdicts describe.
    pub revision: u64,
    /// One a digest, in the order of the question.
    pub verdicts: Vec<KeyAnswer>,
}

/// The verdict of one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    /// What the key service says.
    pub verdict: Verdict,
    /// Milliseconds from the question until the key expires by itself.
    pub expires_in_ms: Option<u64>,
}

/// Why a callout brought no verdict. None of these says anything about a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The host could not send it.
    #[error("the callout could not be sent: is the cluster configured?")]
    NotSent,
    /// Nothing came back in time.
    #[error("no answer in time")]
    Timeout,
    /// The key service does not accept this edge's token.
    #[error("the key service refused the edge token")]
    Refused,
    /// Another status than 200.
    #[error("status {0} (Envoy's own where it cannot connect)")]
    Status(u16),
    /// A body that is not what was asked for.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// An answer that contradicts an earlier one of the same history.
    #[error("the answer contradicts an earlier one: has the database lost changes?")]
    Contradiction,
}

/// Reads the answer to a verify about `asked` digests; a `status` of `None` means that nothing came back.
///
/// # Errors
/// [`NoAnswer`] for anything but as many well-formed verdicts as were asked for.
pub fn verified(status: Option<u16>, body: &[u8], asked: usize) -> Result<Verified, NoAnswer> {
    let VerifyResponse { log, revision, verdicts } = read(status, body)?;
    if verdicts.len() != asked {
        return Err(NoAnswer::Malformed(format!("{} verdicts for {asked} digests", verdicts.len())));
    }
    let verdicts = verdicts.into_iter().map(key_answer).collect::<Result<_, _>>()?;
    Ok(Verified { log, revision, verdicts })
}

/// Reads the answer to a sync; a `status` of `None` means that nothing came back.
///
/// # Errors
/// [`NoAnswer`] for anything but a well-formed answer.
pub fn synced(status: Option<u16>, body: &[u8]) -> Result<SyncResponse, NoAnswer> {
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
            Ok(KeyAnswer { verdict: Verdict::Active(Rc::new(holder(active)?)), expires_in_ms })
        }
    }
}

/// The ids go into headers, so they must be what a header value can carry.
fn holder(active: ActiveVerdict) -> Result<Holder, NoAnswer> {
    for (field, id) in [("user_id", &active.user_id), ("key_id", &active.key_id)] {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoAnswer::Malformed(format!("{field} is no header value")));
        }
    }
    Ok(Holder::new(active.user_id.into(), active.key_id.into(), active.scopes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: &str = r#"{"status":"active","key_id":"k","user_id":"u","scopes":["insight:read","cohort:write"],"expires_in_ms":5}"#;

    fn body(verdicts: &str) -> Vec<u8> {
        format!(r#"{{"log":"l","revision":1,"verdicts":[{verdicts}]}}"#).into_bytes()
    }

    #[test]
    fn verdicts_come_in_the_order_of_the_question() {
        let answers =
            verified(Some(200), &body(&format!(r#"{{"status":"inactive"}},{ACTIVE}"#)), 2).unwrap().verdicts;
        assert_eq!(answers[0], KeyAnswer { verdict: Verdict::Inactive, expires_in_ms: None });
        let Verdict::Active(holder) = &answers[1].verdict else { panic!("{answers:?}") };
        assert_eq!(
            (&*holder.user_id, &*holder.key_id, &*holder.scopes_text),
            ("u", "k", "insight:read cohort:write")
        );
        assert_eq!(answers[1].expires_in_ms, Some(5));
    }

    #[test]
    fn anything_else_is_no_answer() {
        let good = body(ACTIVE);
        assert_eq!(verified(None, b"", 1), Err(NoAnswer::Timeout));
        assert_eq!(verified(Some(503), &good, 1), Err(NoAnswer::Status(503)));
        assert_eq!(verified(Some(204), &good, 1), Err(NoAnswer::Status(204)));
        assert_eq!(verified(Some(401), &good, 1), Err(NoAnswer::Refused));
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
        ] {
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(matches!(verified(Some(200), &body, asked), Err(NoAnswer::Malformed(_))), "{text}");
        }
    }
}
