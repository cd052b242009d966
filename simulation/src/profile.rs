//! Which faults a seed has: how slow, how lossy, how often something stops.

use std::ops::Range;

/// A millisecond, in the simulation's unit of time.
pub const MS: u64 = 1_000;

/// Which of [`Profile::outage_weights`] is which, of those that do not go together.
const SUSPENDED: usize = 3;
const WALL_CLOCK_SET: usize = 7;

/// How often each kind of message is lost, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// Syncs on their way to the service.
    pub sync_requests: u32,
    /// Their answers.
    pub sync_answers: u32,
    /// Verifies on their way to the service.
    pub verify_requests: u32,
    /// Their answers.
    pub verify_answers: u32,
    /// Requests of either kind that arrive twice.
    pub duplicates: u32,
}

/// The faults of one seed. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Where all its randomness comes from.
    pub seed: u64,
    /// How many edges there are.
    pub edges: usize,
    /// How long it goes on before everything comes to rest.
    pub duration: u64,
    /// How long a verify, or its answer, travels.
    pub verify_delay: Range<u64>,
    /// How long a sync, or its answer, travels.
    pub sync_delay: Range<u64>,
    /// How long a transaction takes to happen, and again to be known.
    pub database_delay: Range<u64>,
    /// How long until a held sync is woken by a commit.
    pub news_delay: Range<u64>,
    /// What is lost.
    pub losses: Losses,
    /// Between requests, over all edges.
    pub request_gap: Range<u64>,
    /// Between changes.
    pub change_gap: Range<u64>,
    /// Between faults that take something down for a while: partitions, pauses, crashes; `None` for never.
    pub outage_gap: Option<Range<u64>>,
    /// How long such a fault lasts.
    pub outage: Range<u64>,
    /// Which of them happen, as weights: edge cut off, edge's syncs cut off, edge paused, edge suspended, edge restarted,
    /// service crashed, power cut, wall clock set.
    pub outage_weights: [u32; 8],
    /// How far clocks run fast or slow, in thousandths.
    pub drift: u32,
}

impl Profile {
    /// The profile of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pick = |choices: &[Range<u64>]| choices[random.usize(..choices.len())].clone();
        let fast = 50..MS;
        let slow = MS..300 * MS;
        let mut profile = Profile {
            seed,
            edges: 1,
            duration: 15_000 * MS,
            verify_delay: pick(&[fast.clone(), fast.clone(), MS..40 * MS, slow.clone(), 10..900 * MS]),
            sync_delay: pick(&[fast.clone(), fast.clone(), MS..40 * MS, slow.clone(), 10..900 * MS]),
            database_delay: pick(&[20..300, 20..300, 100..5 * MS, MS..60 * MS]),
            news_delay: pick(&[10..MS, 10..MS, 10..100 * MS]),
            losses: Losses::default(),
            request_gap: pick(&[5 * MS..40 * MS, 5 * MS..200 * MS]),
            change_gap: pick(&[10 * MS..300 * MS, 100 * MS..2_000 * MS, 1_000 * MS..6_000 * MS]),
            outage_gap: None,
            outage: pick(&[100 * MS..3_000 * MS, 3_000 * MS..12_000 * MS]),
            outage_weights: [0; 8],
            drift: 0,
        };
        profile.edges = random.usize(1..4);
        // A fifth of the seeds are calm: there, a valid key must never even be unavailable.
        if random.u32(..5) == 0 {
            let calm = 50..40 * MS;
            profile.verify_delay = calm.clone();
            profile.sync_delay = calm;
            profile.database_delay = 20..5 * MS;
            return profile;
        }
        if random.bool() {
            let mut loss = || if random.bool() { random.u32(..300) } else { 0 };
            profile.losses = Losses {
                sync_requests: loss(),
                sync_answers: loss(),
                verify_requests: loss(),
                verify_answers: loss(),
                duplicates: loss(),
            };
        }
        if random.u32(..4) > 0 {
            profile.outage_gap = Some(500 * MS..8_000 * MS);
            for weight in &mut profile.outage_weights {
                *weight = if random.u32(..3) == 0 { random.u32(1..10) } else { 0 };
            }
            if profile.outage_weights == [0; 8] {
                profile.outage_weights = [1; 8];
            }
            // A wall clock set back while the machine is suspended fools both clocks: the promise does not hold then.
            if random.bool() {
                profile.outage_weights[SUSPENDED] = 0;
            } else {
                profile.outage_weights[WALL_CLOCK_SET] = 0;
            }
            // What is left may be nothing.
            profile.outage_weights[0] = profile.outage_weights[0].max(1);
        }
        profile.drift = [0, 0, 10, 50][random.usize(..4)];
        profile
    }

    /// Whether nothing ever fails.
    pub fn is_calm(&self) -> bool {
        let Losses { sync_requests, sync_answers, verify_requests, verify_answers, .. } = self.losses;
        let is_lossless = [sync_requests, sync_answers, verify_requests, verify_answers] == [0; 4];
        let in_time = |delay: &Range<u64>| delay.end <= 100 * MS;
        is_lossless
            && self.outage_gap.is_none()
            && in_time(&self.verify_delay)
            && self.database_delay.end <= 10 * MS
    }
}
