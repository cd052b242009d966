//! Header lists as a proxy-wasm host passes them: one block of bytes, read in place.

/// The names and values of a serialised header list, in order.
///
/// The block is a little-endian `u32` count, then for each header the `u32` sizes of its name and value, then the
/// names and values themselves, each followed by a zero byte (proxy-wasm ABI 0.2.1). Nothing is copied, and no
/// malformed block can cause a panic.
#[derive(Clone, Copy, Debug)]
pub struct HeaderPairs<'a> {
    sizes: &'a [u8],
    texts: &'a [u8],
}

/// The block is not a serialised header list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedHeaders;

impl<'a> HeaderPairs<'a> {
    /// Reads the start of a block; an empty block holds no headers.
    ///
    /// # Errors
    /// If the block is too short for its count.
    pub fn new(block: &'a [u8]) -> Result<Self, MalformedHeaders> {
        if block.is_empty() {
            return Ok(HeaderPairs { sizes: &[], texts: &[] });
        }
        let (count, rest) = read_size(block).ok_or(MalformedHeaders)?;
        let sizes = count.checked_mul(8).ok_or(MalformedHeaders)?;
        let (sizes, texts) = rest.split_at_checked(sizes).ok_or(MalformedHeaders)?;
        Ok(HeaderPairs { sizes, texts })
    }

    fn read_pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (name, sizes) = read_size(self.sizes)?;
        let (value, sizes) = read_size(sizes)?;
        let (name, texts) = read_text(self.texts, name)?;
        let (value, texts) = read_text(texts, value)?;
        *self = HeaderPairs { sizes, texts };
        Some((name, value))
    }
}

impl<'a> Iterator for HeaderPairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), MalformedHeaders>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.sizes.is_empty() {
            return None;
        }
        let pair = self.read_pair();
        if pair.is_none() {
            self.sizes = &[];
        }
        Some(pair.ok_or(MalformedHeaders))
    }
}

fn read_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*size) as usize, rest))
}

fn read_text(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(size)?;
    Some((text, rest.split_first()?.1))
}

/// Serialises a header list as one block.
pub fn serialise(headers: &[(&str, &[u8])]) -> Vec<u8> {
    let size = |text: &[u8]| (text.len() as u32).to_le_bytes();
    let mut block = (headers.len() as u32).to_le_bytes().to_vec();
    for (name, value) in headers {
        block.extend(size(name.as_bytes()));
        block.extend(size(value));
    }
    for (name, value) in headers {
        block.extend([name.as_bytes(), b"\0", value, b"\0"].concat());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_order_with_any_bytes() {
        let block = serialise(&[(":path", b"/"), ("x", b""), ("y", b"\xff\0")]);
        let pairs: Vec<_> = HeaderPairs::new(&block).unwrap().map(Result::unwrap).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b":path", b"/"), (b"x", b""), (b"y", b"\xff\0")];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn no_block_can_make_reading_panic() {
        let block = serialise(&[(":path", b"/"), ("x", b"yz")]);
        for end in 0..block.len() {
            if let Ok(pairs) = HeaderPairs::new(&block[..end]) {
                assert!(end == 0 || pairs.clone().any(|pair| pair.is_err()), "cut at {end}");
            }
        }
        assert!(HeaderPairs::new(&[0xff; 40]).is_err());
        for at in 0..block.len() {
            let mut broken = block.clone();
            broken[at] = 0xff;
            if let Ok(pairs) = HeaderPairs::new(&broken) {
                assert!(pairs.count() < 1000);
            }
        }
    }
}
