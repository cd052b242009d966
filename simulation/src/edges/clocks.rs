//! The clocks of an edge.

use edge_key_auth::clock::Moment;

use crate::clock::{Clock, MS};

/// The error of a measured span in milliseconds: both readings of the clock are whole milliseconds.
const CLOCK_TICK_MS: u64 = 2;

/// The most that the wall clock of an edge is off at first, in milliseconds, either way.
const SKEW_MS: i64 = 100_000;

/// Both clocks of an edge.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    monotonic: Clock,
    wall: Clock,
    /// How long the machine has been suspended, in microseconds of true time.
    suspended: u64,
    /// Whether the wall clock was ever set back.
    was_set_back: bool,
}

impl Clocks {
    /// Clocks that run up to `drift` thousandths fast or slow.
    pub(super) fn new(random: &mut fastrand::Rng, drift: u32) -> Self {
        Clocks {
            monotonic: Clock::new(random, drift, 0),
            wall: Clock::new(random, drift, SKEW_MS),
            suspended: 0,
            was_set_back: false,
        }
    }

    /// A reading of both.
    pub(super) fn moment(&self, now: u64) -> Moment {
        let Clocks { monotonic, wall, suspended, .. } = self;
        Moment { monotonic: monotonic.elapsed_ms(now - suspended), wall: wall.wall_ms(now) as u64 }
    }

    /// Sets the wall clock forward or back.
    pub(super) fn set_wall_clock(&mut self, by_ms: i64) {
        self.wall.set(by_ms);
        self.was_set_back |= by_ms < 0;
    }

    /// The machine was suspended for this time, and the monotonic clock stood still.
    pub(super) fn was_suspended(&mut self, microseconds: u64) {
        self.suspended += microseconds;
    }

    /// The most microseconds of true time in which one of the clocks counts this time.
    pub(super) fn longest(&self, milliseconds: u64) -> u64 {
        let counted = (milliseconds + CLOCK_TICK_MS) * MS;
        self.monotonic.lasts(counted).max(self.wall.lasts(counted))
    }

    /// How much time neither clock may have counted, in microseconds: the wall clock was set back, and the machine was
    /// suspended.
    pub(super) fn uncounted(&self) -> u64 {
        if self.was_set_back { self.suspended } else { 0 }
    }
}
