//! Finds generated keys and management tokens in a stream of bytes, by their shape and checksum alone.
//!
//! Any character may precede a key, because text is often encoded: `Bearer%20phx_…`, `\nphx_…` in JSON. No letter, digit or
//! `_` may follow it. Keys of other shapes (imported ones) look like any other text, and are not found.

use std::io::{self, Read};

use memchr::{memchr_iter, memrchr};
use protocol::{GENERATED_KEY_BYTES, KEY_PREFIX, KeyDigest, is_generated_secret, mask};

use crate::accounts::management_tokens::TOKEN_PREFIX;

/// The prefixes to find. All have the same length, and end with [`PREFIX_END`].
const PREFIXES: [&str; 2] = [KEY_PREFIX, TOKEN_PREFIX];

/// The last byte of every prefix.
const PREFIX_END: u8 = b'_';

/// How much is read at once, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// The start of the buffer repeats the end of the previous one, because a key may span both.
const KEPT_BYTES: usize = GENERATED_KEY_BYTES;

/// The position and the digest of a key or management token, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The line, from 1.
    pub line: u64,
    /// The position in the line, in bytes from 1.
    pub column: u64,
    /// Its mask.
    pub mask_value: String,
    /// Its digest.
    pub digest: KeyDigest,
}

/// Reads to the end and yields each key in order. Memory use is constant. A read error ends it.
#[derive(Debug)]
pub struct Scanner<R> {
    input: R,
    buffer: Vec<u8>,
    filled: usize,
    /// The part of the buffer that is still to be searched.
    from: usize,
    until: usize,
    /// How many bytes `place` has passed.
    passed: usize,
    place: Position,
    is_over: bool,
}

impl<R: Read> Scanner<R> {
    /// Begins at the current position of `input`.
    pub fn new(input: R) -> Self {
        Scanner {
            input,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            from: 0,
            until: 0,
            passed: 0,
            place: Position { line: 1, column: 1 },
            is_over: false,
        }
    }

    /// The next key in the buffer.
    fn find(&mut self) -> Option<Match> {
        let seen = &self.buffer[..self.filled];
        while let Some(at) = prefix_in(&seen[self.from..]).map(|at| self.from + at)
            && at < self.until
        {
            self.from = at + KEY_PREFIX.len();
            if let Some(value) = value_at(seen, at) {
                self.place.pass(&seen[self.passed..at]);
                self.passed = at;
                let Position { line, column } = self.place;
                let (mask_value, digest) = (mask(value), KeyDigest::of_value(value));
                return Some(Match { line, column, mask_value, digest });
            }
        }
        None
    }

    /// Reads more, and keeps the bytes that may belong to a key.
    fn read(&mut self) -> io::Result<()> {
        self.place.pass(&self.buffer[self.passed..self.until]);
        let dropped = self.filled.saturating_sub(KEPT_BYTES);
        self.buffer.copy_within(dropped..self.filled, 0);
        self.filled -= dropped;
        self.passed = self.until - dropped;
        self.from = self.from.max(self.until) - dropped;
        let read = loop {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.is_over = read == 0;
        self.filled += read;
        // A key at the end of the buffer may continue, unless this is the end of the input.
        let complete = self.filled.saturating_sub(if self.is_over { 0 } else { KEPT_BYTES });
        self.until = complete.max(self.passed);
        Ok(())
    }
}

impl<R: Read> Iterator for Scanner<R> {
    type Item = io::Result<Match>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.find() {
                return Some(Ok(found));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.read() {
                self.is_over = true;
                return Some(Err(error));
            }
        }
    }
}

/// The position of the first prefix.
fn prefix_in(bytes: &[u8]) -> Option<usize> {
    memchr_iter(PREFIX_END, bytes).find_map(|end| {
        let at = (end + 1).checked_sub(KEY_PREFIX.len())?;
        PREFIXES.iter().any(|prefix| bytes[at..=end] == *prefix.as_bytes()).then_some(at)
    })
}

/// The key or token that begins at `at`, if any.
fn value_at(seen: &[u8], at: usize) -> Option<&str> {
    let end = at + GENERATED_KEY_BYTES;
    if seen.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        return None;
    }
    let value = std::str::from_utf8(seen.get(at..end)?).ok()?;
    PREFIXES.iter().any(|prefix| is_generated_secret(prefix, value)).then_some(value)
}

/// A position in the input.
#[derive(Debug)]
struct Position {
    line: u64,
    column: u64,
}

impl Position {
    /// Advances past these bytes.
    fn pass(&mut self, bytes: &[u8]) {
        match memrchr(b'\n', bytes) {
            Some(last) => {
                self.line += memchr_iter(b'\n', bytes).count() as u64;
                self.column = (bytes.len() - last) as u64;
            }
            None => self.column += bytes.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ApiKey, secret_from_entropy};

    use super::*;

    fn key(seed: u8) -> ApiKey {
        ApiKey::from_entropy([seed; 32])
    }

    fn found(line: u64, column: u64, key: &ApiKey) -> Match {
        Match { line, column, mask_value: key.mask(), digest: key.digest() }
    }

    /// The keys found when each read returns at most `step` bytes.
    fn found_by(step: usize, input: &[u8]) -> Vec<Match> {
        struct Steps<'a>(usize, &'a [u8]);
        impl Read for Steps<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let most = self.0.min(buffer.len());
                self.1.read(&mut buffer[..most])
            }
        }
        Scanner::new(Steps(step, input)).collect::<io::Result<_>>().unwrap()
    }

    fn places(input: &[u8]) -> Vec<(u64, u64)> {
        found_by(usize::MAX, input).iter().map(|found| (found.line, found.column)).collect()
    }

    #[test]
    fn a_key_is_found_with_its_line_and_column() {
        let text = format!("first\nKEY=\"{0}\"\n\n{0}", key(1).reveal());
        assert_eq!(places(text.as_bytes()), [(2, 6), (4, 1)]);
        assert_eq!(found_by(usize::MAX, text.as_bytes())[0], found(2, 6, &key(1)));
        assert_eq!(places(key(2).reveal().as_bytes()), [(1, 1)]);
    }

    #[test]
    fn a_key_followed_by_a_word_character_is_not_found() {
        let key = key(3);
        for after in ["x", "0", "_"] {
            assert_eq!(places(format!("{}{after}", key.reveal()).as_bytes()), [], "{after}");
        }
        for after in [".", "é", "\0", "-", "&", "%20", "\\n"] {
            assert_eq!(places(format!("{}{after}", key.reveal()).as_bytes()).len(), 1, "{after}");
        }
    }

    #[test]
    fn anything_may_stand_before_a_key() {
        let key = key(3);
        for before in ["=", "é", "\0", "Bearer%20", "key%3D", "\\n", "\\u0022", "x", "_", "phx_"] {
            let found = places(format!("{before}{}", key.reveal()).as_bytes());
            assert_eq!(found, [(1, before.len() as u64 + 1)], "{before}");
        }
    }

    #[test]
    fn a_management_token_is_found_too() {
        let token = secret_from_entropy(TOKEN_PREFIX, [3; 32]);
        let text = format!("ekm_ phx_ {token} {}", key(3).reveal());
        assert_eq!(places(text.as_bytes()), [(1, 11), (1, 66)]);
        assert!(found_by(1, text.as_bytes())[0].mask_value.starts_with("ekm_..."));
        let other_kind = token.replace(TOKEN_PREFIX, KEY_PREFIX);
        assert_eq!(places(other_kind.as_bytes()), [], "the checksum covers the prefix");
    }

    #[test]
    fn texts_that_only_look_like_keys_are_not_found() {
        let mut mistyped = key(4).reveal().to_owned();
        mistyped.replace_range(10..11, if &mistyped[10..11] == "a" { "b" } else { "a" });
        let mut cut = key(4).reveal().to_owned();
        cut.pop();
        for text in [&mistyped, &cut, "phx_", "phx_1234567890abcdef", "phx_phx_phx_", ""] {
            assert_eq!(places(text.as_bytes()), [], "{text}");
        }
    }

    #[test]
    fn keys_beside_each_other_are_all_found() {
        let text = format!("{},{}", key(5).reveal(), key(6).reveal());
        assert_eq!(places(text.as_bytes()), [(1, 1), (1, 56)]);
    }

    #[test]
    fn the_size_of_the_reads_does_not_matter() {
        let text = format!("{0}\n xphx_ {0}y\n{1}\0z{0}", key(7).reveal(), key(8).reveal());
        let at_once = found_by(usize::MAX, text.as_bytes());
        assert_eq!(at_once.len(), 3);
        for step in 1..=120 {
            assert_eq!(found_by(step, text.as_bytes()), at_once, "{step}");
        }
    }

    /// Keys at random positions among random bytes that resemble keys.
    #[test]
    fn planted_keys_are_found_and_nothing_else() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize % below
        };
        let mut input = Vec::new();
        let (mut planted, mut line, mut line_began) = (Vec::new(), 1, 0);
        while input.len() < 3 * BUFFER_BYTES {
            for _ in 0..random(4_000) {
                match random(60) {
                    0 => input.extend(b"phx_"),
                    1 => input.extend(&key(9).reveal().as_bytes()[..random(GENERATED_KEY_BYTES)]),
                    _ => {
                        let byte = random(256) as u8;
                        input.push(byte);
                        if byte == b'\n' {
                            (line, line_began) = (line + 1, input.len());
                        }
                    }
                }
            }
            let stands_free = random(2) == 0;
            let value = ApiKey::from_entropy(std::array::from_fn(|_| random(256) as u8));
            if stands_free {
                let column = (input.len() - line_began + 1) as u64;
                planted.push(found(line, column, &value));
            }
            input.extend(value.reveal().as_bytes());
            input.push(if stands_free { b'"' } else { b'q' });
        }
        assert!(planted.len() > 100);
        for step in [997, 4_096, BUFFER_BYTES, usize::MAX] {
            assert!(found_by(step, &input) == planted, "{step}");
        }
    }
}
