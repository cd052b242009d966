//! The edge API: the JSON that an edge (one filter VM) and the key service exchange.

use serde::{Deserialize, Serialize};

use crate::{KeyDigest, ScopeSet};

/// The path of the verify operation on the key service's edge listener; the method is POST.
pub const VERIFY_PATH: &str = "/edge/v1/verify";

/// The most digests that one verify request may ask about.
pub const MAX_DIGESTS_PER_VERIFY: usize = 256;

/// What an edge asks: "what are these keys worth now?"
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// The asking edge's own random id.
    pub edge: String,
    /// The keys asked about, at most [`MAX_DIGESTS_PER_VERIFY`].
    pub digests: Vec<KeyDigest>,
}

/// The answer to a [`VerifyRequest`]: one verdict a digest, in the order of the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyResponse {
    /// Names the history that the revision belongs to.
    pub log: String,
    /// The revision whose state the verdicts describe.
    pub revision: u64,
    /// As many as there were digests, in their order.
    pub verdicts: Vec<Verdict>,
}

/// What the key service says of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// The key is good.
    Active(ActiveVerdict),
    /// No such key, or it is revoked or expired, or its user is disabled; the edge does not learn which.
    Inactive,
}

/// Whose key it is and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveVerdict {
    /// The key's opaque id, never its value.
    pub key_id: String,
    /// The opaque id of the user whose key it is.
    pub user_id: String,
    /// What the key may do: its own scopes, limited to its user's.
    pub scopes: ScopeSet,
    /// Milliseconds from the question until the key expires by itself; `None` if it never does.
    pub expires_in_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_the_documented_json() {
        let verdicts = vec![
            Verdict::Active(ActiveVerdict {
                key_id: "k1".into(),
                user_id: "u1".into(),
                scopes: ScopeSet::parse(["insight:read"]).unwrap(),
                expires_in_ms: None,
            }),
            Verdict::Inactive,
        ];
        let response = VerifyResponse { log: "l1".into(), revision: 7, verdicts };
        let json = serde_json::to_string(&response).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"log":"l1","revision":7,"verdicts":[{"status":"active","key_id":"k1","user_id":"u1","#,
                r#""scopes":["insight:read"],"expires_in_ms":null},{"status":"inactive"}]}"#
            )
        );
        assert_eq!(serde_json::from_str::<VerifyResponse>(&json).unwrap(), response);
    }

    #[test]
    fn a_verify_request_carries_digests_as_hex() {
        let request = VerifyRequest { edge: "e1".into(), digests: vec![KeyDigest::of_value("phx_a")] };
        let json = serde_json::to_string(&request).unwrap();
        assert!(json.starts_with(r#"{"edge":"e1","digests":[""#), "{json}");
        assert_eq!(serde_json::from_str::<VerifyRequest>(&json).unwrap(), request);
    }
}
