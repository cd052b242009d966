//! The `Authorization` header's bearer token (RFC 6750, section 2.1).

use protocol::KEY_PREFIX;

use crate::accounts::management_tokens::TOKEN_PREFIX;

/// The token of a `Bearer` credential; the scheme's letter case does not matter.
pub(crate) fn bearer(credential: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credential.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BearerKind {
    /// A personal API key.
    PersonalApiKey,
    /// A management token.
    ManagementToken,
    /// Any other token, such as an edge token.
    Other,
}

impl BearerKind {
    /// Decides by the token's prefix alone. If the answer depended on the token's validity, a caller could test tokens on
    /// operations that do not accept them.
    pub(crate) fn of(token: &[u8]) -> Self {
        match token {
            token if token.starts_with(KEY_PREFIX.as_bytes()) => BearerKind::PersonalApiKey,
            token if token.starts_with(TOKEN_PREFIX.as_bytes()) => BearerKind::ManagementToken,
            _ => BearerKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_credential_is_read_in_any_letter_case() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER  abc "), Some(&b"abc"[..]));
        for credential in [&b"Basic abc"[..], b"Bearer", b"", b"Bearerabc"] {
            assert_eq!(bearer(credential), None, "{credential:?}");
        }
    }
}
