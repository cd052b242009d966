//! The key service's verdict on a key.

use std::cell::Cell;
use std::rc::Rc;

use protocol::{Restrictions, ScopeSet};

/// The principal of an active key, ready to be written into headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// The id of the key's owner.
    pub user_id: Box<str>,
    /// The id of the key, never its value.
    pub key_id: Box<str>,
    /// The scopes of the key. Cached keys with the same scopes share them.
    pub scopes: Rc<Scopes>,
    /// The restrictions; `None` if the key is not restricted.
    pub restricted: Option<Box<Restricted>>,
    /// From when on a use of the key is reported, in seconds since 1970-01-01 UTC.
    pub(crate) report_from: Cell<u32>,
}

impl Principal {
    /// A principal whose key's use was not reported yet.
    pub fn new(user_id: Box<str>, key_id: Box<str>, scopes: ScopeSet, restrictions: Restrictions) -> Self {
        let scopes = Rc::new(Scopes { text: scopes.to_string().into(), set: scopes });
        let restricted = (!restrictions.is_empty())
            .then(|| Box::new(Restricted { text: restrictions.to_string().into(), restrictions }));
        Principal { user_id, key_id, scopes, restricted, report_from: Cell::new(0) }
    }

    /// Whether requests with this key are decided and forwarded like those with the other.
    pub(crate) fn permits_the_same_as(&self, other: &Principal) -> bool {
        let Principal { user_id, key_id, scopes, restricted, report_from: _ } = self;
        (user_id, key_id, scopes, restricted)
            == (&other.user_id, &other.key_id, &other.scopes, &other.restricted)
    }
}

/// The scopes of a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Scopes {
    /// The scopes.
    pub set: ScopeSet,
    /// The scopes as a header value, separated by spaces.
    pub text: Box<str>,
}

/// The restrictions of a restricted key.
#[derive(Debug, PartialEq, Eq)]
pub struct Restricted {
    /// The restrictions.
    pub restrictions: Restrictions,
    /// The restrictions as a header value.
    pub text: Box<str>,
}

/// The verdict on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is valid.
    Active(Rc<Principal>),
    /// The key is not valid.
    Inactive,
}
