//! Recognises keys that this VM has seen, without computing their digests.

use std::fmt;

use siphasher::sip128::SipHasher24;

/// SipHash-2-4 of a key's value with 128 bits, under the secret of one VM.
///
/// A client without the secret finds a value with the tag of a cached key only by sending values, with a chance of 1 in
/// 2¹²⁸ for each request and cached key: SipHash is a pseudorandom function, and tags never leave the VM. With 100,000
/// cached keys and a million requests a second, a success is expected after 10²⁰ years.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Tables take it as their hash: clients cannot choose values whose tags collide.
    pub(crate) hash: u64,
    rest: u64,
}

/// Makes tags.
#[derive(Clone, Copy)]
pub(crate) struct Tagger(SipHasher24);

impl Tagger {
    /// `secret` is random, and no other VM has it.
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        Tagger(SipHasher24::new_with_key(&secret))
    }

    pub(crate) fn tag(&self, value: &[u8]) -> Tag {
        let tag = self.0.hash(value);
        Tag { hash: tag.h1, rest: tag.h2 }
    }
}

/// Neither prints the secret.
impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagger(redacted)")
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the reference implementation (`vectors.h`, `vectors_sip128`).
    #[test]
    fn a_tag_is_siphash_2_4_with_128_bits() {
        let secret = std::array::from_fn(|at| at as u8);
        let value: Vec<u8> = (0..15).collect();
        let bytes = |length: usize| {
            let Tag { hash, rest } = Tagger::new(secret).tag(&value[..length]);
            [hash.to_le_bytes(), rest.to_le_bytes()]
                .concat()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        };
        assert_eq!(bytes(0), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(bytes(1), "da87c1d86b99af44347659119b22fc45");
        assert_eq!(bytes(15), "5493e99933b0a8117e08ec0f97cfc3d9");
    }

    #[test]
    fn a_tag_depends_on_the_secret_and_on_every_byte() {
        let tagger = Tagger::new([1; 16]);
        assert_eq!(tagger.tag(b"phx_1"), Tagger::new([1; 16]).tag(b"phx_1"));
        assert_ne!(tagger.tag(b"phx_1"), Tagger::new([2; 16]).tag(b"phx_1"));
        for other in ["phx_2", "phx_1 ", "phx_", "Phx_1"] {
            assert_ne!(tagger.tag(b"phx_1"), tagger.tag(other.as_bytes()));
        }
        assert_eq!(format!("{tagger:?} {:?}", tagger.tag(b"phx_1")), "Tagger(redacted) Tag(redacted)");
    }
}
