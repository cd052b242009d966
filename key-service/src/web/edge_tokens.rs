//! The tokens that edges authenticate with: one, and a second one during a rotation.

use protocol::KeyDigest;
use subtle::{Choice, ConstantTimeEq};

/// The shortest edge token, in characters.
pub(crate) const MIN_TOKEN_CHARS: usize = 16;

/// The environment variable of the current token.
pub(crate) const TOKEN_VARIABLE: &str = "EDGE_TOKEN";

/// The environment variable of the previous token, which is still accepted.
pub(crate) const PREVIOUS_TOKEN_VARIABLE: &str = "EDGE_TOKEN_PREVIOUS";

/// The accepted tokens, as SHA-256 digests.
#[derive(Clone, Debug)]
pub(crate) struct EdgeTokens(Vec<KeyDigest>);

/// Why a token is invalid. The texts name the variable, never the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EdgeTokenError {
    /// The required variable is unset or empty.
    #[error(
        "{TOKEN_VARIABLE} is not set: the edge API needs a token of {MIN_TOKEN_CHARS} characters or more"
    )]
    Missing,
    /// A token is easy to guess.
    #[error("{0} is too short: a token has {MIN_TOKEN_CHARS} characters or more")]
    Short(&'static str),
    /// A header cannot carry the token.
    #[error("{0} may hold visible ASCII characters only, and no comma")]
    Character(&'static str),
}

impl EdgeTokens {
    /// Checks the tokens of the two variables. An empty value counts as unset.
    ///
    /// # Errors
    /// The problem of each variable.
    pub(crate) fn new(current: Option<&str>, previous: Option<&str>) -> Result<Self, Vec<EdgeTokenError>> {
        let current = current.filter(|token| !token.is_empty()).ok_or(EdgeTokenError::Missing);
        let current = current.and_then(|token| digest(TOKEN_VARIABLE, token));
        let previous = previous.filter(|token| !token.is_empty());
        let previous = previous.map(|token| digest(PREVIOUS_TOKEN_VARIABLE, token)).transpose();
        match (current, previous) {
            (Ok(current), Ok(previous)) => Ok(EdgeTokens([current].into_iter().chain(previous).collect())),
            (current, previous) => Err(current.err().into_iter().chain(previous.err()).collect()),
        }
    }

    /// Whether `token` is accepted. Compares the digests of all tokens in constant time, so the duration reveals nothing.
    pub(crate) fn accept(&self, token: &[u8]) -> bool {
        let Ok(token) = std::str::from_utf8(token) else { return false };
        let sent = KeyDigest::of_value(token);
        let equal = |known: &KeyDigest| known.as_bytes().ct_eq(sent.as_bytes());
        self.0.iter().map(equal).fold(Choice::from(0), |any, one| any | one).into()
    }
}

fn digest(variable: &'static str, token: &str) -> Result<KeyDigest, EdgeTokenError> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        return Err(EdgeTokenError::Character(variable));
    }
    if token.len() < MIN_TOKEN_CHARS {
        return Err(EdgeTokenError::Short(variable));
    }
    Ok(KeyDigest::of_value(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_are_accepted_while_they_are_rotated() {
        let tokens = EdgeTokens::new(Some("the-new-edge-token"), Some("the-old-edge-token")).unwrap();
        assert!(tokens.accept(b"the-new-edge-token") && tokens.accept(b"the-old-edge-token"));
        assert!(!tokens.accept(b"the-odd-edge-token") && !tokens.accept(b"") && !tokens.accept(b"\xff"));
        let tokens = EdgeTokens::new(Some("the-new-edge-token"), Some("")).unwrap();
        assert!(!tokens.accept(b"the-old-edge-token") && !tokens.accept(b""));
    }

    #[test]
    fn tokens_that_cannot_be_used_are_refused_by_their_variable() {
        let refused = |current, previous| EdgeTokens::new(current, previous).unwrap_err();
        let good = Some("the-new-edge-token");
        assert_eq!(refused(None, None), [EdgeTokenError::Missing]);
        assert_eq!(refused(Some(""), good), [EdgeTokenError::Missing]);
        assert_eq!(refused(Some("fifteen-letters"), None), [EdgeTokenError::Short("EDGE_TOKEN")]);
        assert_eq!(refused(good, Some("short")), [EdgeTokenError::Short("EDGE_TOKEN_PREVIOUS")]);
        assert_eq!(refused(Some("one-token,another-token"), None), [EdgeTokenError::Character("EDGE_TOKEN")]);
        assert_eq!(refused(Some("a token with spaces"), None), [EdgeTokenError::Character("EDGE_TOKEN")]);
        let both = [EdgeTokenError::Missing, EdgeTokenError::Short("EDGE_TOKEN_PREVIOUS")];
        assert_eq!(refused(None, Some("short")), both);
    }
}
