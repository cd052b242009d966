//! Decides whether a verdict is enough for a route.

use std::rc::Rc;

use protocol::Scope;

use crate::ambiguity::Ambiguity;
use crate::metrics::Counter;
use crate::restriction::{Requested, Violation, judge};
use crate::verdict::{Principal, Verdict};

/// The restrictions of a key without restrictions, as a header value.
const UNRESTRICTED: &str = "*";

/// Proof that a key is valid, may reach the request's project and organization, and has the required scope. Only
/// [`decide`] makes one, and forwarding an authenticated request needs one.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    principal: Rc<Principal>,
    upstream_judges: bool,
}

impl Grant {
    /// The principal of the request.
    pub fn principal(&self) -> &Rc<Principal> {
        &self.principal
    }

    /// The values of the identity headers, in their order. The last one, the restrictions, is absent for a key without
    /// restrictions, unless the upstream judges them: it can then refuse a request whose header was lost on the way.
    pub fn header_values(&self) -> impl Iterator<Item = &str> {
        let Principal { user_id, key_id, scopes, restricted, .. } = &*self.principal;
        let restrictions = match restricted {
            Some(restricted) => Some(&*restricted.text),
            None => self.upstream_judges.then_some(UNRESTRICTED),
        };
        [&**user_id, key_id, &scopes.text].into_iter().chain(restrictions)
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
    /// The key is valid and restricted to other projects or organizations.
    Restricted {
        /// The reason.
        violation: Violation,
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
            Denial::Restricted { .. } => "key_restricted",
            Denial::Unavailable => "key_service_unavailable",
            Denial::Overloaded => "lookups_full",
        }
    }

    /// The valid key, if the request has one that does not suffice.
    pub fn key(&self) -> Option<&Rc<Principal>> {
        match self {
            Denial::Forbidden { key, .. } | Denial::Restricted { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The metric that counts this denial.
    pub fn counter(&self) -> Counter {
        match self {
            Denial::Ambiguous(_) => Counter::Ambiguous,
            Denial::Missing => Counter::Missing,
            Denial::Invalid => Counter::Invalid,
            Denial::Forbidden { .. } => Counter::Forbidden,
            Denial::Restricted { .. } => Counter::Restricted,
            Denial::Unavailable => Counter::Unavailable,
            Denial::Overloaded => Counter::Overloaded,
        }
    }
}

/// Whether a key with this verdict may reach the request's project and organization, and has the scope `required`.
/// `requested` is called for restricted keys only. `upstream_judges` says whether the rule leaves restrictions to the
/// upstream.
///
/// # Errors
/// [`Denial::Invalid`], [`Denial::Restricted`] or [`Denial::Forbidden`].
pub fn decide(
    verdict: Verdict,
    required: &Scope,
    upstream_judges: bool,
    requested: impl FnOnce() -> Requested,
) -> Result<Grant, Denial> {
    let Verdict::Active(key) = verdict else { return Err(Denial::Invalid) };
    if let Some(restricted) = &key.restricted
        && let Err(violation) = judge(&restricted.restrictions, &requested())
    {
        return Err(Denial::Restricted { violation, key });
    }
    match key.scopes.set.permits(required) {
        true => Ok(Grant { principal: key, upstream_judges }),
        false => Err(Denial::Forbidden { required: required.clone(), key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IdentityHeader, IdentityHeaders};
    use crate::restriction::{Locator, Locators, Resource};
    use protocol::{Restrictions, ScopeSet};

    fn active(scopes: &str) -> Verdict {
        let set = ScopeSet::parse(scopes.split_whitespace()).unwrap();
        Verdict::Active(Rc::new(Principal::new("u".into(), "k".into(), set, Default::default())))
    }

    fn decide(verdict: Verdict, required: &Scope) -> Result<Grant, Denial> {
        super::decide(verdict, required, false, || unreachable!("the key is not restricted"))
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

    #[test]
    fn identity_headers_have_the_restrictions_of_a_free_key_where_the_upstream_judges() {
        let read: Scope = "insight:read".parse().unwrap();
        let header = |name: &str| IdentityHeader { name: name.into(), is_sent: true };
        let headers = IdentityHeaders(["a", "b", "c", "d"].map(header));
        let expected = [("a", "u"), ("b", "k"), ("c", "insight:read"), ("d", "*")];
        for (upstream_judges, count) in [(false, 3), (true, 4)] {
            let unused = || unreachable!("the key is not restricted");
            let grant = super::decide(active("insight:read"), &read, upstream_judges, unused).unwrap();
            assert_eq!(headers.of(&grant).collect::<Vec<_>>(), expected[..count]);
        }
    }

    #[test]
    fn a_restricted_key_is_judged_by_place_before_scope() {
        let restrictions = Restrictions { projects: Some(vec![7.into()]), organizations: None };
        let scopes = ScopeSet::parse(["insight:read"]).unwrap();
        let key = Rc::new(Principal::new("u".into(), "k".into(), scopes, restrictions));
        let project = Locator { segment: Some(0), upstream_judges: false };
        let locators = Locators { project, ..Locators::NONE };
        let decide = |required: &str, path: &str| {
            let verdict = Verdict::Active(Rc::clone(&key));
            super::decide(verdict, &required.parse().unwrap(), false, || locators.requested(path.as_bytes()))
        };
        assert!(decide("insight:read", "/7").is_ok());
        assert!(matches!(decide("insight:write", "/7"), Err(Denial::Forbidden { .. })));
        for required in ["insight:read", "insight:write", "*"] {
            let violation = Violation::Other(Resource::Project, "8".into());
            assert_eq!(decide(required, "/8"), Err(Denial::Restricted { violation, key: Rc::clone(&key) }));
        }
    }
}
