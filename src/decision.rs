//! May this request pass? The one place that says yes, and the evidence that it did.

use std::rc::Rc;

use protocol::Scope;

use crate::ambiguity::Ambiguity;
use crate::metrics::Counter;
use crate::verdict::{Holder, Verdict};

/// Evidence that a key was found good for what its request needs. Only [`decide`] makes one, and forwarding an
/// authenticated request takes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant(Rc<Holder>);

impl Grant {
    /// On whose behalf the request is made.
    pub fn holder(&self) -> &Rc<Holder> {
        &self.0
    }
}

/// Why a request is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Two hops could read it differently.
    Ambiguous(Ambiguity),
    /// It needs a key and has none.
    Missing,
    /// Its key is wrong, revoked or expired, or the key's user is disabled.
    Invalid,
    /// Its key is good and lacks this scope.
    Forbidden(Scope),
    /// Nobody can say now whether its key is good.
    Unavailable,
    /// Too many requests wait already to hear whether their keys are good.
    Overloaded,
}

impl Denial {
    /// What counts it.
    pub fn counter(&self) -> Counter {
        match self {
            Denial::Ambiguous(_) => Counter::Ambiguous,
            Denial::Missing => Counter::Missing,
            Denial::Invalid => Counter::Invalid,
            Denial::Forbidden(_) => Counter::Forbidden,
            Denial::Unavailable => Counter::Unavailable,
            Denial::Overloaded => Counter::Overloaded,
        }
    }
}

/// Whether a key of this verdict is enough where `required` is asked for.
///
/// # Errors
/// [`Denial::Invalid`] or [`Denial::Forbidden`].
pub fn decide(verdict: Verdict, required: &Scope) -> Result<Grant, Denial> {
    match verdict {
        Verdict::Inactive => Err(Denial::Invalid),
        Verdict::Active(holder) if holder.scopes.permits(required) => Ok(Grant(holder)),
        Verdict::Active(_) => Err(Denial::Forbidden(required.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ScopeSet;

    fn active(scopes: &str) -> Verdict {
        let set = ScopeSet::parse(scopes.split_whitespace()).unwrap();
        Verdict::Active(Rc::new(Holder::new("u".into(), "k".into(), set)))
    }

    #[test]
    fn only_an_active_key_with_the_scope_is_granted() {
        let read: Scope = "insight:read".parse().unwrap();
        assert_eq!(decide(active("insight:write"), &read).unwrap().holder().user_id.as_ref(), "u");
        assert_eq!(decide(active("cohort:read"), &read), Err(Denial::Forbidden(read.clone())));
        assert_eq!(decide(active(""), &read), Err(Denial::Forbidden(read.clone())));
        assert_eq!(decide(active("insight:write"), &Scope::All), Err(Denial::Forbidden(Scope::All)));
        assert_eq!(decide(Verdict::Inactive, &read), Err(Denial::Invalid));
    }
}
