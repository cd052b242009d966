//! Personal API keys: format, checksum and digest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The prefix of every personal API key.
pub const KEY_PREFIX: &str = "phx_";

/// The longest key, in bytes. Generated keys have 54; imported ones may have more.
pub const MAX_KEY_BYTES: usize = 512;

/// The digits of base62, in ASCII order, so that encoded numbers of one width sort by value.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 256 bits in base62, left-padded with `0`.
const SECRET_CHARS: usize = 44;

/// A CRC-32 in base62, left-padded with `0`.
const CHECKSUM_CHARS: usize = 6;

/// The length of a generated key, in bytes, with prefix and checksum. Imported keys may have this length too.
pub const GENERATED_KEY_BYTES: usize = KEY_PREFIX.len() + SECRET_CHARS + CHECKSUM_CHARS;

/// A personal API key's value. It is a secret: `Debug` hides it, and it has no `Display`. Only its [`KeyDigest`] is stored,
/// cached and sent.
#[derive(Clone)]
pub struct ApiKey(Box<str>);

/// Why a text cannot be a personal API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not begin with [`KEY_PREFIX`].
    #[error("a personal API key begins with phx_")]
    Prefix,
    /// Nothing follows the prefix, or it is longer than [`MAX_KEY_BYTES`].
    #[error("a personal API key has 5 to {MAX_KEY_BYTES} characters")]
    Length,
    /// It has a character that no RFC 6750 token has.
    #[error("a personal API key holds letters, digits and -._~+/= only")]
    Character,
    /// It has the shape of a generated key, but the wrong checksum: it was mistyped, truncated or invented.
    #[error("the key's checksum is wrong: it was mistyped or invented")]
    Checksum,
}

impl ApiKey {
    /// Makes a new key of 256 random bits.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        ApiKey(secret_from_entropy(KEY_PREFIX, entropy).into())
    }

    /// Parses a key.
    ///
    /// A text of the generated shape must have the right checksum. Other shapes pass, because only the key service knows the
    /// imported keys.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(value: &[u8]) -> Result<Self, KeyError> {
        let rest = value.strip_prefix(KEY_PREFIX.as_bytes()).ok_or(KeyError::Prefix)?;
        if rest.is_empty() || value.len() > MAX_KEY_BYTES {
            return Err(KeyError::Length);
        }
        let text = std::str::from_utf8(value).map_err(|_| KeyError::Character)?;
        if !value.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b)) {
            return Err(KeyError::Character);
        }
        if has_generated_shape(rest) && !checksum_is_right(value) {
            return Err(KeyError::Checksum);
        }
        Ok(ApiKey(text.into()))
    }

    /// Whether the key has the generated format.
    pub fn is_generated(&self) -> bool {
        has_generated_shape(&self.0.as_bytes()[KEY_PREFIX.len()..])
    }

    /// The digest of the key.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of_value(&self.0)
    }

    /// The secret itself. Show it to its owner once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The masked value: the first four characters, `...` and the last four. A value with fewer than 16 characters becomes
    /// `********`.
    pub fn mask(&self) -> String {
        mask(&self.0)
    }
}

/// Masks an ASCII secret as [`ApiKey::mask`] does.
pub fn mask(secret: &str) -> String {
    match (secret.get(..4), secret.len().checked_sub(4).and_then(|end| secret.get(end..))) {
        (Some(first), Some(last)) if secret.len() >= 16 => format!("{first}...{last}"),
        _ => "********".to_owned(),
    }
}

/// Makes a secret that can be recognised offline: the prefix, 256 random bits in base62, and a checksum of both.
pub fn secret_from_entropy(prefix: &str, entropy: [u8; 32]) -> String {
    let mut value = prefix.to_owned();
    push_base62::<SECRET_CHARS>(&mut value, entropy);
    let checksum = crc32fast::hash(value.as_bytes());
    push_base62::<CHECKSUM_CHARS>(&mut value, checksum.to_be_bytes());
    value
}

/// Whether a text has the format of [`secret_from_entropy`] with this prefix.
pub fn is_generated_secret(prefix: &str, text: &str) -> bool {
    let rest = text.strip_prefix(prefix).map(str::as_bytes);
    rest.is_some_and(has_generated_shape) && checksum_is_right(text.as_bytes())
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

fn has_generated_shape(rest: &[u8]) -> bool {
    rest.len() == SECRET_CHARS + CHECKSUM_CHARS && rest.iter().all(u8::is_ascii_alphanumeric)
}

fn checksum_is_right(value: &[u8]) -> bool {
    let (covered, written) = value.split_at(value.len() - CHECKSUM_CHARS);
    let mut right = String::with_capacity(CHECKSUM_CHARS);
    push_base62::<CHECKSUM_CHARS>(&mut right, crc32fast::hash(covered).to_be_bytes());
    right.as_bytes() == written
}

/// Appends a big-endian number as exactly `WIDTH` base62 digits.
fn push_base62<const WIDTH: usize>(out: &mut String, mut number: impl AsMut<[u8]>) {
    let number = number.as_mut();
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in number.iter_mut() {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = BASE62[remainder as usize];
    }
    out.extend(digits.iter().map(|&b| char::from(b)));
}

/// The SHA-256 of a key's value. It is cached, stored and sent instead of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyDigest([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct InvalidDigest;

impl KeyDigest {
    /// The digest of a value, whatever its shape.
    pub fn of_value(value: &str) -> Self {
        KeyDigest(Sha256::digest(value.as_bytes()).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let digits = b"0123456789abcdef";
        let hex = self.0.iter().flat_map(|b| [digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]);
        hex.map(char::from).collect()
    }
}

impl From<[u8; 32]> for KeyDigest {
    fn from(bytes: [u8; 32]) -> Self {
        KeyDigest(bytes)
    }
}

impl FromStr for KeyDigest {
    type Err = InvalidDigest;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        let hex = hex.as_bytes();
        if hex.len() != 64 {
            return Err(InvalidDigest);
        }
        let digit = |b: u8| char::from(b).to_digit(16).ok_or(InvalidDigest);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(KeyDigest(bytes))
    }
}

impl TryFrom<String> for KeyDigest {
    type Error = InvalidDigest;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        hex.parse()
    }
}

impl From<KeyDigest> for String {
    fn from(digest: KeyDigest) -> String {
        digest.to_hex()
    }
}

/// The first 12 characters, enough to follow one key through a log.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", &self.to_hex()[..12])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "phx_00000000000000000000000000000000000000000000";

    #[test]
    fn a_generated_key_has_the_documented_shape() {
        let key = ApiKey::from_entropy([0; 32]);
        assert_eq!(key.reveal().len(), 54);
        assert!(key.reveal().starts_with(ZERO));
        let highest = ApiKey::from_entropy([0xff; 32]);
        assert_eq!(highest.reveal().len(), 54);
        assert!(highest.is_generated() && key.is_generated());
    }

    #[test]
    fn the_encoding_is_base62_of_the_whole_number() {
        let mut entropy = [0; 32];
        entropy[30] = 1; // 256 = 4 × 62 + 8
        let key = ApiKey::from_entropy(entropy);
        assert_eq!(&key.reveal()[..48], &format!("{}48", &ZERO[..46]));
    }

    #[test]
    fn the_checksum_covers_prefix_and_secret() {
        let key = ApiKey::from_entropy([0; 32]);
        let mut expected = String::new();
        push_base62::<6>(&mut expected, crc32fast::hash(ZERO.as_bytes()).to_be_bytes());
        assert_eq!(&key.reveal()[48..], expected);
        // The same number, computed outside this crate with zlib's crc32.
        assert_eq!(crc32fast::hash(ZERO.as_bytes()), 263_989_943);
    }

    #[test]
    fn a_mistyped_generated_key_is_refused() {
        let key = ApiKey::from_entropy([7; 32]);
        let parse = |value: &[u8]| ApiKey::parse(value).map(|key| key.digest());
        assert_eq!(parse(key.reveal().as_bytes()), Ok(key.digest()));
        for position in 4..54 {
            let mut mistyped = key.reveal().as_bytes().to_vec();
            mistyped[position] = if mistyped[position] == b'x' { b'y' } else { b'x' };
            assert_eq!(parse(&mistyped), Err(KeyError::Checksum), "position {position}");
        }
        // With one character less, the shape is not that of a generated key.
        assert!(ApiKey::parse(&key.reveal().as_bytes()[..53]).is_ok());
    }

    #[test]
    fn the_documented_example_key_is_a_key_of_another_shape() {
        let key = ApiKey::parse(b"phx_1234567890abcdef").unwrap();
        assert!(!key.is_generated());
        assert_eq!(key.mask(), "phx_...cdef");
    }

    #[test]
    fn a_text_that_cannot_be_a_key_is_refused_with_the_reason() {
        let parse = |value: &[u8]| ApiKey::parse(value).unwrap_err();
        assert_eq!(parse(b"phc_123"), KeyError::Prefix);
        assert_eq!(parse(b"PHX_123"), KeyError::Prefix);
        assert_eq!(parse(b""), KeyError::Prefix);
        assert_eq!(parse(b"phx_"), KeyError::Length);
        assert_eq!(parse(format!("phx_{}", "a".repeat(509)).as_bytes()), KeyError::Length);
        assert_eq!(parse(b"phx_a b"), KeyError::Character);
        assert_eq!(parse(b"phx_a,phx_b"), KeyError::Character);
        assert_eq!(parse(b"phx_\xff\xfe"), KeyError::Character);
        assert_eq!(parse("phx_é".as_bytes()), KeyError::Character);
    }

    #[test]
    fn a_key_has_at_most_512_bytes_and_a_generated_one_has_54() {
        assert!(ApiKey::parse(format!("phx_{}", "a".repeat(508)).as_bytes()).is_ok());
        assert_eq!(ApiKey::from_entropy([7; 32]).reveal().len(), GENERATED_KEY_BYTES);
        assert_eq!(GENERATED_KEY_BYTES, 54);
    }

    #[test]
    fn a_generated_secret_is_recognised_by_prefix_shape_and_checksum() {
        let secret = secret_from_entropy("ekm_", [7; 32]);
        assert!(is_generated_secret("ekm_", &secret));
        assert!(!is_generated_secret(KEY_PREFIX, &secret), "another prefix");
        assert!(!is_generated_secret("ekm_", &secret[..secret.len() - 1]), "cut");
        assert!(!is_generated_secret("ekm_", &format!("ekm_{}", "0".repeat(50))), "invented");
        assert!(!is_generated_secret("ekm_", &secret.replacen("ekm_", "ekm_-", 1)), "another character");
    }

    #[test]
    fn a_short_value_is_masked_whole() {
        assert_eq!(ApiKey::parse(b"phx_short").unwrap().mask(), "********");
    }

    #[test]
    fn a_key_never_prints_itself() {
        assert_eq!(format!("{:?}", ApiKey::parse(b"phx_1234567890abcdef").unwrap()), "ApiKey(redacted)");
    }

    #[test]
    fn a_digest_is_sha_256_of_the_value_in_hex() {
        let digest = KeyDigest::of_value("phx_1234567890abcdef");
        assert_eq!(digest.to_hex().len(), 64);
        assert_eq!(KeyDigest::from([7; 32]).as_bytes(), &[7; 32]);
        assert_eq!(format!("{:?}", KeyDigest::from([7; 32])), "070707070707…");
        assert_eq!(digest.to_hex().parse(), Ok(digest));
        assert_eq!(
            KeyDigest::of_value("abc").to_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for hex in ["", "ba", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(hex.parse::<KeyDigest>(), Err(InvalidDigest), "{hex:?}");
        }
    }
}
