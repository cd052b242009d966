//! The keys that requests send.

use sha2::{Digest, Sha256};

/// The scopes of the key of the variant that lacks one.
const NARROW_SCOPE: &str = "insight:read";

/// The owner of the keys. A service account may have many.
const OWNER: &str = "service:bench";

/// The value of a key with all scopes.
pub(crate) fn value(index: u32) -> String {
    format!("phx_{}", &hex(format!("bench {index}").as_bytes())[..44])
}

/// The value of a key that has only [`NARROW_SCOPE`].
pub(crate) fn narrow() -> String {
    value(u32::MAX)
}

/// A value that belongs to no key.
pub(crate) fn unknown(index: u32) -> String {
    format!("phx_{}", &hex(format!("unknown {index}").as_bytes())[..44])
}

/// An import of so many keys, and the narrow one. An owner gets 9,000; the service allows 10,000.
pub(crate) fn import(keys: u32) -> String {
    let mut csv = "email,label,secure_value,scopes\n".to_owned();
    let line = |index: u32, owner: u32, scope: &str| {
        let digest = hex(value(index).as_bytes());
        format!("{OWNER}-{owner},{index},sha256${digest},{scope}\n")
    };
    for index in 0..keys {
        csv += &line(index, index / 9_000, "*");
    }
    csv += &line(u32::MAX, 0, NARROW_SCOPE);
    csv
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_one_line_with_its_digest_and_an_owner_of_few_enough() {
        let csv = import(10_000);
        assert_eq!(csv.lines().count(), 10_002);
        let first = format!("service:bench-0,0,sha256${},*", hex(value(0).as_bytes()));
        assert_eq!(csv.lines().nth(1), Some(first.as_str()));
        assert!(csv.contains("\nservice:bench-1,9000,") && csv.ends_with(",insight:read\n"));
        assert_ne!(value(0), unknown(0));
    }
}
