//! Turns an `Authorization` header into the digest of a key.

use protocol::{ApiKey, KeyDigest};

use crate::ambiguity::Ambiguity;

/// The credential of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// No bearer token.
    Missing,
    /// A bearer token that cannot be a personal API key: it has another prefix or a wrong checksum.
    Impossible,
    /// A token that may be a key.
    Key(KeyDigest),
}

impl Credential {
    /// Classifies a bearer token by its form alone.
    pub fn of(bearer_token: Option<&[u8]>) -> Self {
        match bearer_token.map(ApiKey::parse) {
            None => Credential::Missing,
            Some(Err(_)) => Credential::Impossible,
            Some(Ok(key)) => Credential::Key(key.digest()),
        }
    }
}

/// The token of an `Authorization` value with the `Bearer` scheme, without surrounding white space; `None` for
/// another scheme or an empty token. The scheme is case-insensitive (RFC 9110 section 11.1).
///
/// # Errors
/// [`Ambiguity::Credential`] if the token is more than one word, or if the value holds several credentials separated
/// by commas. Envoy joins repeated headers in this way, and servers differ in which credential they take.
pub fn bearer_token(authorization: &[u8]) -> Result<Option<&[u8]>, Ambiguity> {
    if authorization.contains(&b',')
        && authorization.split(|&byte| byte == b',').any(|part| token_of(part).is_some())
    {
        return Err(Ambiguity::Credential);
    }
    match token_of(authorization) {
        Some(token) if token.iter().any(|&byte| is_space(byte)) => Err(Ambiguity::Credential),
        Some(b"") | None => Ok(None),
        Some(token) => Ok(Some(token)),
    }
}

/// The text after the scheme `Bearer`; `None` for another scheme.
fn token_of(credential: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = credential.trim_ascii().split_at_checked(SCHEME.len())?;
    let ends = rest.first().is_none_or(|&byte| is_space(byte));
    (scheme.eq_ignore_ascii_case(SCHEME) && ends).then(|| rest.trim_ascii())
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(authorization: &str) -> Result<Option<&str>, Ambiguity> {
        bearer_token(authorization.as_bytes())
            .map(|token| token.map(|token| std::str::from_utf8(token).unwrap()))
    }

    #[test]
    fn the_scheme_is_bearer_in_any_letter_case() {
        for authorization in ["Bearer phx_a", "bearer phx_a", "BEARER phx_a", "  bEaReR \t phx_a \t"] {
            assert_eq!(token(authorization), Ok(Some("phx_a")), "{authorization:?}");
        }
    }

    #[test]
    fn another_scheme_or_no_token_is_not_a_credential() {
        for authorization in
            ["", "Bearer", "Bearer ", "Basic dTpw", "phx_a", "Bearerphx_a", "Bearer:phx_a", "Digest a=1, b=2"]
        {
            assert_eq!(token(authorization), Ok(None), "{authorization:?}");
        }
    }

    #[test]
    fn more_than_one_credential_is_ambiguous() {
        for authorization in [
            "Bearer phx_a phx_b",
            "Bearer phx_a\tphx_b",
            "Bearer phx_a,phx_b",
            "Bearer phx_a,Bearer phx_b",
            "Bearer phx_a, Basic dTpw",
            "Basic dTpw,Bearer phx_a",
            "Basic dTpw, bearer phx_a",
            "Bearer ,",
        ] {
            assert_eq!(token(authorization), Err(Ambiguity::Credential), "{authorization:?}");
        }
    }

    #[test]
    fn only_a_possible_key_gets_a_digest() {
        let of = |token: &str| Credential::of(Some(token.as_bytes()));
        assert_eq!(Credential::of(None), Credential::Missing);
        assert_eq!(of("phx_1234567890abcdef"), Credential::Key(KeyDigest::of_value("phx_1234567890abcdef")));
        assert_eq!(of("phc_1234567890abcdef"), Credential::Impossible);
        assert_eq!(of("phx_"), Credential::Impossible);
        let mistyped = format!("phx_{}", "0".repeat(50));
        assert_eq!(of(&mistyped), Credential::Impossible);
        assert_eq!(Credential::of(Some(b"phx_\xff")), Credential::Impossible);
    }
}
