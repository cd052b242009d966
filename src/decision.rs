//! Decides whether a verdict is enough for a route.

use std::rc::Rc;

use protocol::Scope;

use crate::ambiguity::Ambiguity;
use crate::metrics::Counter;
use crate::verdict::{Principal, Verdict};

/// Proof that a key is valid and has the required scope. Only [`decide`] makes one, and forwarding an authenticated
/// request needs one.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant(Rc<Principal>);

impl Grant {
    /// The principal of the request.
    pub fn principal(&self) -> &Rc<Principal> {
        &self.0
    }
}

/// Why a request is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Two servers could read the request differently.
    Ambiguous(Ambiguity),
    /// The route needs a key and the request has none.
    Missing,
    /// The key is unknown, revoked or expired, or its owner is disabled.
    Invalid,
    /// The key is valid and lacks a scope.
    Forbidden {
        /// The scope.
        required: Scope,
        /// The key.
        key: Rc<Principal>,
    },
    /// The key service did not answer.
    Unavailable,
    /// Too many requests wait for lookups.
    Overloaded,
}

impl Denial {
    /// The reason for access logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Denial::Ambiguous(_) => "ambiguous_request",
            Denial::Missing => "key_missing",
            Denial::Invalid => "key_invalid",
            Denial::Forbidden { .. } => "scope_missing",
            Denial::Unavailable => "key_service_unavailable",
            Denial::Overloaded => "lookups_full",
        }
    }

    /// The metric that counts this denial.
    pub fn counter(&self) -> Counter {
        match self {
            Denial::Ambiguous(_) => Counter::Ambiguous,
            Denial::Missing => Counter::Missing,
            Denial::Invalid => Counter::Invalid,
            Denial::Forbidden { .. } => Counter::Forbidden,
            Denial::Unavailable => Counter::Unavailable,
            Denial::Overloaded => Counter::Overloaded,
        }
    }
}

/// Whether a key with this verdict has the scope `required`.
///
/// # Errors
/// [`Denial::Invalid`] or [`Denial::Forbidden`].
pub fn decide(verdict: Verdict, required: &Scope) -> Result<Grant, Denial> {
    match verdict {
        Verdict::Inactive => Err(Denial::Invalid),
        Verdict::Active(principal) if principal.scopes.permits(required) => Ok(Grant(principal)),
        Verdict::Active(key) => Err(Denial::Forbidden { required: required.clone(), key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ScopeSet;

    fn active(scopes: &str) -> Verdict {
        let set = ScopeSet::parse(scopes.split_whitespace()).unwrap();
        Verdict::Active(Rc::new(Principal::new("u".into(), "k".into(), set)))
    }

    #[test]
    fn only_an_active_key_with_the_scope_is_granted() {
        let read: Scope = "insight:read".parse().unwrap();
        assert_eq!(decide(active("insight:write"), &read).unwrap().principal().user_id.as_ref(), "u");
        for (scopes, required) in [("cohort:read", &read), ("", &read), ("insight:write", &Scope::All)] {
            let Err(Denial::Forbidden { required: lacks, key }) = decide(active(scopes), required) else {
                panic!("{scopes:?}")
            };
            assert_eq!((&lacks, &*key.key_id), (required, "k"));
        }
        assert_eq!(decide(Verdict::Inactive, &read), Err(Denial::Invalid));
    }
}
