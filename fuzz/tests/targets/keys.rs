//! Keys and their digests.

use crate::formats::expand;
use protocol::{ApiKey, GENERATED_KEY_BYTES, KEY_PREFIX, KeyDigest, KeyError, is_generated_secret};

const WORDS: &[&[u8]] =
    &[b"phx_", b"phx_1234567890abcdef", b"phc_", b"\xff", "é".as_bytes(), b"=", b" ", &[b'a'; 50]];

#[test]
fn any_text() {
    bolero::check!(name = "keys_any_text").for_each(|input: &[u8]| {
        let text = expand(input, WORDS);
        let Ok(key) = ApiKey::parse(&text) else { return };
        assert_eq!(key.reveal().as_bytes(), text);
        assert!(key.reveal().starts_with(KEY_PREFIX) && !text.iter().any(|byte| b", \t\r\n".contains(byte)));
        assert_eq!(key.digest(), KeyDigest::of_value(key.reveal()));
        assert_eq!(key.is_generated(), is_generated_secret(KEY_PREFIX, key.reveal()));
        let mask = key.mask();
        assert!(mask == "********" || mask.len() == 11 && text.len() >= 16, "{mask}");
        assert!(!format!("{key:?}").contains(key.reveal()));
    });
}

/// A generated key is valid. With one character changed it is not, because a CRC-32 detects every such change.
#[test]
fn generated() {
    bolero::check!(name = "keys_generated").with_type::<([u8; 32], u8, u8)>().for_each(
        |(entropy, at, other)| {
            let key = ApiKey::from_entropy(*entropy);
            assert_eq!(key.reveal().len(), GENERATED_KEY_BYTES);
            let parse = |value: &[u8]| ApiKey::parse(value).map(|key| key.digest());
            assert_eq!(parse(key.reveal().as_bytes()), Ok(key.digest()));
            let mut mistyped = key.reveal().as_bytes().to_vec();
            let at = KEY_PREFIX.len() + usize::from(*at) % (mistyped.len() - KEY_PREFIX.len());
            if mistyped[at] != *other {
                mistyped[at] = *other;
                let expected =
                    if other.is_ascii_alphanumeric() { Err(KeyError::Checksum) } else { parse(&mistyped) };
                assert_eq!(parse(&mistyped), expected);
            }
        },
    );
}

#[test]
fn digests() {
    bolero::check!(name = "keys_digests").with_type::<([u8; 32], u8, u8)>().for_each(|(bytes, at, other)| {
        let digest = KeyDigest::from(*bytes);
        assert_eq!(digest.to_hex().parse(), Ok(digest));
        assert_eq!(digest.to_hex().to_ascii_uppercase().parse(), Ok(digest));
        let mut text = digest.to_hex().into_bytes();
        text[usize::from(*at) % 64] = *other;
        let Ok(text) = std::str::from_utf8(&text) else { return };
        match text.parse::<KeyDigest>() {
            Ok(digest) => assert_eq!(digest.to_hex(), text.to_ascii_lowercase()),
            Err(_) => assert!(!other.is_ascii_hexdigit(), "{text}"),
        }
    });
}
