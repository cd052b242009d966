//! The edge API: the JSON that an edge (one filter VM) and the key service exchange.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{KeyDigest, Node, Restrictions, ScopeSet};

/// The path of the verify operation on the key service's edge listener; the method is POST.
pub const VERIFY_PATH: &str = "/edge/v1/verify";

/// The most digests in one verify request.
pub const MAX_DIGESTS_PER_VERIFY: usize = 256;

/// Asks for the current verdicts of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// The random id that the edge drew for itself.
    pub edge: String,
    /// The digests of the keys, at most [`MAX_DIGESTS_PER_VERIFY`].
    pub digests: Vec<KeyDigest>,
    /// What the edge understands beyond the first filters that spoke this API.
    #[serde(default)]
    pub understands: Vec<Feature>,
}

/// A part of verdicts that the first filters did not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// [`ActiveVerdict::restrictions`]. To an edge that does not name it, a restricted key is inactive.
    Restrictions,
    /// One of a later version.
    #[serde(other)]
    Unknown,
}

/// The answer to a [`VerifyRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyResponse {
    /// The epoch that the revision belongs to.
    pub epoch: String,
    /// The revision whose state the verdicts describe.
    pub revision: u64,
    /// One verdict for each digest, in the order of the request.
    pub verdicts: Vec<Verdict>,
}

/// The key service's answer for one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// The key works.
    Active(ActiveVerdict),
    /// The key does not exist, is revoked or expired, or its owner is disabled. The edge does not learn which.
    Inactive,
}

/// The owner and the scopes of a working key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveVerdict {
    /// The key's opaque id, never its value.
    pub key_id: String,
    /// The opaque id of the user who owns the key.
    pub user_id: String,
    /// The key's scopes, limited to its owner's permissions.
    pub scopes: ScopeSet,
    /// The projects and organizations that the key is restricted to.
    #[serde(default, skip_serializing_if = "Restrictions::is_empty")]
    pub restrictions: Restrictions,
    /// Milliseconds from the request until the value expires; `None` if it never does.
    pub expires_in_ms: Option<u64>,
}

/// The path of the sync operation on the key service's edge listener; the method is POST.
pub const SYNC_PATH: &str = "/edge/v1/sync";

/// The most digests that one answer lists as changed. More changes are answered with a reset.
pub const MAX_CHANGED_PER_SYNC: usize = 1_000;

/// The most keys in the usage report of one sync request.
pub const MAX_USED_PER_SYNC: usize = 256;

/// The request that an edge repeats. It subscribes to changes, acknowledges earlier ones, renews the lease and reports usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The random id that the edge drew for itself.
    pub edge: String,
    /// The epoch that the cursor belongs to; `None` in the first sync.
    pub epoch: Option<String>,
    /// The revision up to which the edge has applied all changes: its acknowledgement. `None` at first.
    pub cursor: Option<u64>,
    /// How long the service may hold the request while nothing changes, in milliseconds.
    pub wait_ms: u64,
    /// When keys were last used, by key id, in seconds since 1970-01-01 UTC; at most [`MAX_USED_PER_SYNC`].
    #[serde(default)]
    pub used: BTreeMap<String, u64>,
    /// The Envoy that the edge runs in. The first filters did not send it.
    #[serde(default, skip_serializing_if = "Node::is_empty")]
    pub node: Node,
}

/// The answer to a [`SyncRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SyncResponseJson", into = "SyncResponseJson")]
pub struct SyncResponse {
    /// The epoch that the revision belongs to.
    pub epoch: String,
    /// The cursor of the edge once it has applied the invalidation.
    pub revision: u64,
    /// How long the edge may use its cache, in milliseconds from the moment it sent the request.
    pub lease_ms: u64,
    /// What to remove from the cache.
    pub invalidation: Invalidation,
}

/// What an edge must remove from its cache before it moves its cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// The verdicts of these digests.
    Changed(Vec<KeyDigest>),
    /// Everything, because the changes since the cursor are unknown or too many.
    Reset,
}

/// The JSON form of a [`SyncResponse`]: either `changed` or `"reset":true`.
#[derive(Serialize, Deserialize)]
struct SyncResponseJson {
    epoch: String,
    revision: u64,
    lease_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<KeyDigest>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset: Option<bool>,
}

impl TryFrom<SyncResponseJson> for SyncResponse {
    type Error = &'static str;

    fn try_from(json: SyncResponseJson) -> Result<Self, Self::Error> {
        let SyncResponseJson { epoch, revision, lease_ms, changed, reset } = json;
        let invalidation = match (changed, reset) {
            (Some(changed), None | Some(false)) => Invalidation::Changed(changed),
            (None, Some(true)) => Invalidation::Reset,
            _ => return Err("exactly one of changed and reset is required"),
        };
        Ok(SyncResponse { epoch, revision, lease_ms, invalidation })
    }
}

impl From<SyncResponse> for SyncResponseJson {
    fn from(response: SyncResponse) -> Self {
        let SyncResponse { epoch, revision, lease_ms, invalidation } = response;
        let (changed, reset) = match invalidation {
            Invalidation::Changed(changed) => (Some(changed), None),
            Invalidation::Reset => (None, Some(true)),
        };
        SyncResponseJson { epoch, revision, lease_ms, changed, reset }
    }
}

/// Whether a JSON text is an object, as every body of the edge API is. Serde would also read an array of a struct's values.
pub fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeText;

    #[test]
    fn verdicts_have_the_documented_json() {
        let verdicts = vec![
            Verdict::Active(ActiveVerdict {
                key_id: "k1".into(),
                user_id: "u1".into(),
                scopes: ScopeSet::parse(["insight:read"]).unwrap(),
                restrictions: Restrictions::default(),
                expires_in_ms: None,
            }),
            Verdict::Active(ActiveVerdict {
                key_id: "k2".into(),
                user_id: "u1".into(),
                scopes: ScopeSet::all(),
                restrictions: Restrictions { projects: Some(vec![7.into()]), organizations: None },
                expires_in_ms: None,
            }),
            Verdict::Inactive,
        ];
        let response = VerifyResponse { epoch: "e1".into(), revision: 7, verdicts };
        let json = serde_json::to_string(&response).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"epoch":"e1","revision":7,"verdicts":[{"status":"active","key_id":"k1","user_id":"u1","#,
                r#""scopes":["insight:read"],"expires_in_ms":null},"#,
                r#"{"status":"active","key_id":"k2","user_id":"u1","scopes":["*"],"restrictions":{"projects":[7]},"#,
                r#""expires_in_ms":null},{"status":"inactive"}]}"#
            )
        );
        assert_eq!(serde_json::from_str::<VerifyResponse>(&json).unwrap(), response);
    }

    #[test]
    fn a_verify_request_carries_digests_as_hex() {
        let request = VerifyRequest {
            edge: "e1".into(),
            digests: vec![KeyDigest::of_value("phx_a")],
            understands: vec![Feature::Restrictions],
        };
        let json = serde_json::to_string(&request).unwrap();
        assert!(json.starts_with(r#"{"edge":"e1","digests":[""#), "{json}");
        assert!(json.ends_with(r#""],"understands":["restrictions"]}"#), "{json}");
        assert_eq!(serde_json::from_str::<VerifyRequest>(&json).unwrap(), request);
    }

    #[test]
    fn features_of_other_versions_are_no_errors() {
        let understood = |json: &str| serde_json::from_str::<VerifyRequest>(json).unwrap().understands;
        assert_eq!(understood(r#"{"edge":"e","digests":[]}"#), []);
        let json = r#"{"edge":"e","digests":[],"understands":["tides","restrictions"]}"#;
        assert_eq!(understood(json), [Feature::Unknown, Feature::Restrictions]);
    }

    #[test]
    fn a_sync_has_the_documented_json() {
        let request = SyncRequest {
            edge: "e1".into(),
            epoch: None,
            cursor: None,
            wait_ms: 2_000,
            used: BTreeMap::from([("k1".into(), 7)]),
            node: Node::default(),
        };
        let json = r#"{"edge":"e1","epoch":null,"cursor":null,"wait_ms":2000,"used":{"k1":7}}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), json);
        assert_eq!(serde_json::from_str::<SyncRequest>(json).unwrap(), request);
        let node =
            Node { id: NodeText::of(b"n1"), cluster: NodeText::default(), version: NodeText::of(b"1.40.0") };
        let request = SyncRequest { node, used: BTreeMap::new(), ..request };
        let json = concat!(
            r#"{"edge":"e1","epoch":null,"cursor":null,"wait_ms":2000,"used":{},"#,
            r#""node":{"id":"n1","cluster":"","version":"1.40.0"}}"#
        );
        assert_eq!(serde_json::to_string(&request).unwrap(), json);
        assert_eq!(serde_json::from_str::<SyncRequest>(json).unwrap(), request);
        let response =
            |invalidation| SyncResponse { epoch: "e1".into(), revision: 3, lease_ms: 6_000, invalidation };
        for (invalidation, json) in [
            (Invalidation::Changed(vec![]), r#"{"epoch":"e1","revision":3,"lease_ms":6000,"changed":[]}"#),
            (Invalidation::Reset, r#"{"epoch":"e1","revision":3,"lease_ms":6000,"reset":true}"#),
        ] {
            assert_eq!(serde_json::to_string(&response(invalidation.clone())).unwrap(), json);
            assert_eq!(serde_json::from_str::<SyncResponse>(json).unwrap(), response(invalidation));
        }
    }

    #[test]
    fn a_sync_response_needs_either_changed_or_reset() {
        for invalidation in
            [r#""changed":[],"reset":true"#, r#""reset":false"#, r#""changed":["ab"]"#, r#""changed":null"#]
        {
            let json = format!(r#"{{"epoch":"e1","revision":3,"lease_ms":6000,{invalidation}}}"#);
            assert!(serde_json::from_str::<SyncResponse>(&json).is_err(), "{json}");
        }
    }
}
