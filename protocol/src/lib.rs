//! The wire types of the edge API, the key format and the scopes.
//!
//! Filter and key service both compile this crate, so there is one definition of each. It does no I/O and reads no clock.

mod edge_api;
mod key;
mod node;
mod restrictions;
mod scope;

pub use edge_api::{
    ActiveVerdict, Feature, Invalidation, MAX_CHANGED_PER_SYNC, MAX_DIGESTS_PER_VERIFY, MAX_USED_PER_SYNC,
    SYNC_PATH, SyncRequest, SyncResponse, VERIFY_PATH, Verdict, VerifyRequest, VerifyResponse, is_object,
};
pub use key::{
    ApiKey, GENERATED_KEY_BYTES, InvalidDigest, KEY_PREFIX, KeyDigest, KeyError, MAX_KEY_BYTES,
    is_generated_secret, mask, secret_from_entropy,
};
pub use node::{MAX_NODE_TEXT, Node, NodeText};
pub use restrictions::{InvalidResourceId, MAX_RESOURCE_ID_BYTES, ResourceId, Restrictions};
pub use scope::{Action, InvalidScope, Scope, ScopeSet, is_scope_object};
