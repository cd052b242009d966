//! Why a user who was signed in has to sign in again.

use strum::{AsRefStr, EnumString};

/// Why a user who was signed in has to sign in again. It is a parameter of the sign-in page's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Reason {
    SessionEnded,
    FormNotSent,
}

impl Reason {
    /// What the sign-in page says.
    pub(super) fn text(self) -> &'static str {
        match self {
            Reason::SessionEnded => "Your session has ended. Sign in again.",
            Reason::FormNotSent => {
                "Your session has ended, so nothing was changed. Sign in, and send the form again."
            }
        }
    }
}
