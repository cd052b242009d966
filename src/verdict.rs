//! What the key service says of a key.

use std::cell::Cell;
use std::rc::Rc;

use protocol::ScopeSet;

/// The holder of an active key, ready to be written into headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Holder {
    /// The user whose key it is.
    pub user_id: Box<str>,
    /// The key's id, never its value.
    pub key_id: Box<str>,
    /// What the key may do.
    pub scopes: ScopeSet,
    /// The scopes as a header writes them, separated by spaces.
    pub scopes_text: Box<str>,
    /// When the key's use was last reported, in seconds since 1970-01-01 UTC.
    pub(crate) reported_at: Cell<Option<u64>>,
}

impl Holder {
    /// The holder of a key whose use was not reported yet.
    pub fn new(user_id: Box<str>, key_id: Box<str>, scopes: ScopeSet) -> Self {
        let scopes_text = scopes.to_string().into();
        Holder { user_id, key_id, scopes, scopes_text, reported_at: Cell::new(None) }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good, and this is its holder.
    Active(Rc<Holder>),
    /// It is not.
    Inactive,
}
