//! Turns an `Authorization` header into a token that may be a key.

use protocol::{KEY_PREFIX, MAX_KEY_BYTES};

use crate::ambiguity::Ambiguity;

/// The credential of a request. It has no `Debug`: a token is a secret.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// No bearer token.
    Missing,
    /// A bearer token that cannot be a personal API key: it has another prefix or is too long.
    Impossible,
    /// A token that may be a key. Whether it is one, [`ApiKey::parse`](protocol::ApiKey::parse) says: a key that was
    /// seen before needs no second look.
    Token(&'a [u8]),
}

impl<'a> Credential<'a> {
    /// Classifies a bearer token by its prefix and length.
    pub fn of(bearer_token: Option<&'a [u8]>) -> Self {
        match bearer_token {
            None => Credential::Missing,
            Some(token) if token.len() <= MAX_KEY_BYTES && token.starts_with(KEY_PREFIX.as_bytes()) => {
                Credential::Token(token)
            }
            Some(_) => Credential::Impossible,
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
    fn only_a_token_with_prefix_and_length_of_a_key_may_be_one() {
        let may_be =
            |token: &[u8]| matches!(Credential::of(Some(token)), Credential::Token(same) if same == token);
        assert!(matches!(Credential::of(None), Credential::Missing));
        let longest = [b"phx_", &[b'a'; MAX_KEY_BYTES - 4][..]].concat();
        assert!(may_be(b"phx_1234567890abcdef") && may_be(&longest));
        for token in [b"phc_1234567890abcdef", &[&longest[..], b"a"].concat()[..], b"PHX_1", b"phx"] {
            assert!(matches!(Credential::of(Some(token)), Credential::Impossible));
        }
    }
}
