//! Time as the pure modules see it: a number that somebody else read from a clock.

/// Milliseconds of a monotonic clock, since a moment of its own choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// The moment this many milliseconds later.
    pub fn plus(self, milliseconds: u64) -> Self {
        Millis(self.0.saturating_add(milliseconds))
    }
}
