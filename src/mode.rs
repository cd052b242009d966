//! Whether refusals are enforced.

use std::rc::Rc;
use std::str::FromStr;

use crate::ambiguity::Ambiguity;
use crate::decision::Denial;
use crate::metrics::Counter;
use crate::verdict::Principal;

/// What happens to requests that are not granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are refused.
    #[default]
    Enforce,
    /// They are forwarded without identity, counted and logged.
    Shadow(Shadow),
}

/// Proof that the configuration says `mode: shadow`. Only reading that word makes one, and forwarding an authenticated
/// request without a [`Grant`](crate::decision::Grant) needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow(());

/// A request that is forwarded in shadow mode and that was not granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// Why enforcing would refuse it; `None` if its key was not looked up in time.
    denial: Option<Denial>,
}

/// The word is not a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMode;

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "enforce" => Ok(Mode::Enforce),
            "shadow" => Ok(Mode::Shadow(Shadow(()))),
            _ => Err(UnknownMode),
        }
    }
}

impl Mode {
    /// Shadow if this or the other one is.
    pub fn or(self, other: Mode) -> Mode {
        match self {
            Mode::Enforce => other,
            Mode::Shadow(_) => self,
        }
    }

    /// Whether nothing is refused.
    pub fn is_shadow(self) -> bool {
        matches!(self, Mode::Shadow(_))
    }
}

impl Shadow {
    /// Waives a denial.
    ///
    /// # Errors
    /// The denial itself, if the headers are malformed: the filter cannot remove forged identity headers then.
    pub fn waive(self, denial: Denial) -> Result<Shadowed, Denial> {
        match denial {
            Denial::Ambiguous(Ambiguity::Headers) => Err(denial),
            _ => Ok(Shadowed { denial: Some(denial) }),
        }
    }

    /// Gives up the wait for a lookup.
    pub fn undecided(self) -> Shadowed {
        Shadowed { denial: None }
    }
}

impl Shadowed {
    /// The reason for access logs.
    pub fn reason(&self) -> &'static str {
        self.denial.as_ref().map_or("undecided", Denial::reason)
    }

    /// The valid key that lacks the scope or is restricted.
    pub fn key(&self) -> Option<&Rc<Principal>> {
        self.denial.as_ref().and_then(Denial::key)
    }

    /// The metric that counts this request.
    pub fn counter(&self) -> Counter {
        match &self.denial {
            None => Counter::Undecided,
            Some(Denial::Ambiguous(_)) => Counter::ShadowedAmbiguous,
            Some(Denial::Missing) => Counter::ShadowedMissing,
            Some(Denial::Invalid) => Counter::ShadowedInvalid,
            Some(Denial::Forbidden { .. }) => Counter::ShadowedForbidden,
            Some(Denial::Restricted { .. }) => Counter::ShadowedRestricted,
            Some(Denial::Unavailable) => Counter::ShadowedUnavailable,
            Some(Denial::Overloaded) => Counter::ShadowedOverloaded,
        }
    }
}
