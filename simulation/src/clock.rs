//! Clocks with skew and drift.

/// A millisecond, in the simulation's unit of time.
pub(crate) const MS: u64 = 1_000;

/// The clock of one machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    rate: f64,
    offset_ms: i64,
}

impl Clock {
    /// A clock that runs up to `drift` thousandths fast or slow, and is up to `skew_ms` off, either way.
    pub(crate) fn new(random: &mut fastrand::Rng, drift: u32, skew_ms: i64) -> Self {
        let drift = f64::from(drift) / 1_000.0;
        let rate = 1.0 - drift + 2.0 * drift * random.f64();
        Clock { rate, offset_ms: random.i64(-skew_ms..=skew_ms) }
    }

    /// Sets the clock forward or back.
    pub(crate) fn set(&mut self, by_ms: i64) {
        self.offset_ms += by_ms;
    }

    /// Sets how far the clock is off.
    pub fn set_to(&mut self, offset_ms: i64) {
        self.offset_ms = offset_ms;
    }

    /// How many milliseconds it has counted when `now` microseconds have passed.
    pub(crate) fn elapsed_ms(&self, now: u64) -> u64 {
        (now as f64 * self.rate / MS as f64) as u64
    }

    /// Its time, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn wall_ms(&self, now: u64) -> i64 {
        1_700_000_000_000 + self.offset_ms + self.elapsed_ms(now) as i64
    }

    /// How many microseconds of true time pass while it counts that many.
    pub(crate) fn lasts(&self, microseconds: u64) -> u64 {
        (microseconds as f64 / self.rate) as u64
    }
}
