//! The system's randomness. The service's own secrets and ids come from here. Two crates ask the system themselves: `argon2` for
//! the salt of a password's hash, and `tower-sessions` for the id of a session.
#![expect(clippy::disallowed_methods, reason = "the one place that asks the system for randomness")]

use uuid::Uuid;

/// The system has no randomness to give.
pub(crate) use getrandom::Error as RandomError;

/// Random bytes, good enough for secrets.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// An id that no other has: a UUID of version 4.
pub(crate) fn uuid() -> Uuid {
    Uuid::new_v4()
}

/// An id that sorts by its creation time, by this machine's clock: a UUID of version 7.
pub(crate) fn ordered_uuid() -> Uuid {
    Uuid::now_v7()
}
