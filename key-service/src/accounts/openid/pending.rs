//! A sign-in that a provider has not answered yet. The browser keeps it in a cookie, so that only this browser can end it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::random::{self, RandomError};

/// A sign-in that a provider has not answered yet. Its fields are secrets between the browser and the service, so there is no
/// `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct PendingSignIn {
    provider: String,
    /// Comes back in the provider's answer.
    pub(super) state: String,
    /// Comes back in the ID token.
    pub(super) nonce: String,
    /// Proves to the provider that the same service exchanges the code (RFC 7636).
    pub(super) verifier: String,
    /// The page to show after the sign-in.
    pub(crate) next: String,
}

impl PendingSignIn {
    /// # Errors
    /// The system has no randomness to give.
    pub(super) fn new(provider: &str, next: &str) -> Result<Self, RandomError> {
        let secret = || Ok(URL_SAFE_NO_PAD.encode(random::bytes::<32>()?));
        Ok(PendingSignIn {
            provider: provider.to_owned(),
            state: secret()?,
            nonce: secret()?,
            verifier: secret()?,
            next: next.to_owned(),
        })
    }

    /// Whether an answer to the address of a provider, with this state, is the answer to this sign-in.
    pub(crate) fn is_answered(&self, provider: &str, state: &str) -> bool {
        self.provider == provider && bool::from(self.state.as_bytes().ct_eq(state.as_bytes()))
    }

    /// The form in a cookie.
    pub(crate) fn encode(&self) -> Result<String, serde_json::Error> {
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(self)?))
    }

    /// Reads the form in a cookie.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_of_the_same_provider_with_the_same_state_ends_a_sign_in() {
        let pending = PendingSignIn::new("sso", "/account").unwrap();
        let pending = PendingSignIn::decode(&pending.encode().unwrap()).unwrap();
        assert!(pending.is_answered("sso", &pending.state));
        assert!(!pending.is_answered("other", &pending.state));
        for state in ["", &pending.state[1..], &pending.nonce, &PendingSignIn::new("sso", "").unwrap().state]
        {
            assert!(!pending.is_answered("sso", state), "{state}");
        }
        assert_eq!(pending.next, "/account");
        assert!(PendingSignIn::decode("e30").is_none() && PendingSignIn::decode("x!").is_none());
    }
}
