//! The header block that the host passes to the filter.

use crate::formats::header_block;
use edge_key_auth::headers::{HeaderPairs, serialise};

type Pair<'a> = (&'a [u8], &'a [u8]);

/// Every parsed pair lies within the block. Serialised and parsed again, the pairs are the same.
fn check(block: &[u8]) {
    let Ok(pairs) = HeaderPairs::new(block) else { return };
    let read: Vec<_> = pairs.collect();
    assert!(read.iter().rev().skip(1).all(Result::is_ok), "something follows a broken pair");
    let Ok(pairs) = read.into_iter().collect::<Result<Vec<Pair<'_>>, _>>() else { return };
    let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
    assert!(pairs.is_empty() || size + 4 <= block.len(), "more was read than there is");
    assert_eq!(read_all(&header_block(&pairs)), pairs);
}

fn read_all(block: &[u8]) -> Vec<Pair<'_>> {
    HeaderPairs::new(block).unwrap().map(Result::unwrap).collect()
}

#[test]
fn any_block() {
    bolero::check!(name = "headers_any_block").for_each(check);
}

#[test]
fn a_block_with_one_byte_changed() {
    bolero::check!(name = "headers_one_byte_changed")
        .with_type::<(Vec<(String, Vec<u8>)>, u16, u8)>()
        .for_each(|(headers, at, byte)| {
            let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
            let mut block = serialise(&pairs);
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
            assert_eq!(read_all(&block), pairs);
            let at = usize::from(*at) % block.len();
            block[at] = *byte;
            check(&block);
        });
}
