//! The faults of a seed: delays, losses and outages.

use std::ops::Range;

use leases::LeaseConfig;
use protocol::MAX_CHANGED_PER_SYNC;

use crate::clock::MS;
use crate::outage::Outage;

/// How much longer the leases of some replicas are, in milliseconds.
const LONGER_LEASE_MS: Range<u64> = 1_000..9_001;

/// The longest life of a key with an expiry, and of the old value of a rolled key, in milliseconds.
pub(crate) const LONGEST_LIFE_MS: u64 = 4_000;

/// How many unused keys a user has in some seeds: more than one sync can list.
const CROWD: usize = MAX_CHANGED_PER_SYNC + 1;

/// How often each kind of message is lost, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossRates {
    /// Syncs to the service.
    pub(crate) sync_requests: u32,
    /// Their answers.
    pub(crate) sync_answers: u32,
    /// Callouts of lookups to the service.
    pub(crate) verify_requests: u32,
    /// Their answers.
    pub(crate) verify_answers: u32,
    /// Callouts of either kind that arrive twice.
    pub(crate) duplicates: u32,
    /// Notifications of a replica about a commit.
    pub(crate) notifications: u32,
    /// Notifications between the tasks of a replica about an acknowledgement.
    pub(crate) acknowledgements: u32,
}

/// The faults of one seed. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The seed.
    pub(crate) seed: u64,
    /// The number of edges.
    pub(crate) edges: usize,
    /// The number of replicas.
    pub replicas: usize,
    /// The lease settings of each replica. They differ during a rolling update.
    pub lease_configs: Vec<LeaseConfig>,
    /// Lease settings that a replica may have after a restart.
    pub(crate) other_lease_config: Option<LeaseConfig>,
    /// `serve_stale_s` of the edges.
    pub(crate) serve_stale_s: u64,
    /// How many unused keys one of the users has.
    pub(crate) crowd: usize,
    /// Whether the callouts of an edge reach the same replica while it is up.
    pub(crate) is_sticky: bool,
    /// How long clients and faults continue.
    pub(crate) duration: u64,
    /// The delay of a callout of lookups, and of its answer.
    pub(crate) verify_delay: Range<u64>,
    /// The delay of a sync, and of its answer.
    pub(crate) sync_delay: Range<u64>,
    /// The delay until a transaction happens, and again until its result arrives. Short ones are more frequent.
    pub(crate) database_delay: Range<u64>,
    /// The delay of the notification of a commit.
    pub(crate) notification_delay: Range<u64>,
    /// The losses.
    pub losses: LossRates,
    /// The time between requests, over all edges.
    pub(crate) request_gap: Range<u64>,
    /// The time between changes.
    pub(crate) change_gap: Range<u64>,
    /// The time between prunings of the history; `None` for never.
    pub(crate) prune_gap: Option<Range<u64>>,
    /// The time between outages; `None` for never.
    pub(crate) outage_gap: Option<Range<u64>>,
    /// How long an outage lasts.
    pub(crate) outage: Range<u64>,
    /// The outages that happen, with their weights.
    pub outages: Vec<(Outage, u32)>,
    /// The outage that hits a replica directly after its commit, and how often, in thousandths of the commits.
    pub(crate) strikes: Option<(Outage, u32)>,
    /// How long the database takes to notice a dead connection.
    pub(crate) notice_delay: Range<u64>,
    /// Whether a replica waits for a database that is down; otherwise it fails at once.
    pub is_patient: bool,
    /// The most that clocks run fast or slow, in thousandths.
    pub drift: u32,
    /// The most that the wall clock of a replica is off, in milliseconds, either way.
    pub skew_ms: i64,
}

impl Profile {
    /// The profile of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut profile = Self::without_faults(seed, &mut random);
        // A sixth of the seeds are calm: every request must be decided.
        if random.u32(..6) == 0 {
            let calm = 50..40 * MS;
            profile.verify_delay = calm.clone();
            profile.sync_delay = calm;
            profile.database_delay = 20..5 * MS;
            return profile;
        }
        if random.bool() {
            let mut loss = || if random.bool() { random.u32(..300) } else { 0 };
            profile.losses = LossRates {
                sync_requests: loss(),
                sync_answers: loss(),
                verify_requests: loss(),
                verify_answers: loss(),
                duplicates: loss(),
                notifications: loss() * 3,
                acknowledgements: loss() * 3,
            };
        }
        match random.u32(..8) {
            0 | 1 => {}
            2 => profile.has_edges_that_come_back(),
            3 | 4 => {
                profile.outage_gap = Some(100 * MS..1_500 * MS);
                profile.outage = 10 * MS..1_000 * MS;
                profile.outages = some_outages(&mut random);
            }
            _ => {
                profile.outage_gap = Some(500 * MS..8_000 * MS);
                profile.outages = some_outages(&mut random);
            }
        }
        if random.u32(..4) == 0 {
            let at = random.usize(..Outage::OF_A_COMMIT.len());
            profile.strikes = Some((Outage::OF_A_COMMIT[at], random.u32(20..200)));
        }
        profile.drift = [0, 10, 50, 50][random.usize(..4)];
        profile.skew_ms = [0, 500, 5_000][random.usize(..3)];
        profile
    }

    fn without_faults(seed: u64, random: &mut fastrand::Rng) -> Self {
        let mut pick = |choices: &[Range<u64>]| choices[random.usize(..choices.len())].clone();
        let fast = 50..MS;
        let slow = MS..300 * MS;
        let mut profile = Profile {
            seed,
            edges: 1,
            replicas: 1,
            lease_configs: Vec::new(),
            other_lease_config: None,
            serve_stale_s: 0,
            crowd: 0,
            is_sticky: false,
            duration: 15_000 * MS,
            verify_delay: pick(&[fast.clone(), fast.clone(), MS..40 * MS, slow.clone(), 10..900 * MS]),
            sync_delay: pick(&[fast.clone(), fast.clone(), MS..40 * MS, slow.clone(), 10..900 * MS]),
            database_delay: pick(&[20..300, 20..300, 100..5 * MS, MS..60 * MS, 5 * MS..300 * MS]),
            notification_delay: pick(&[10..MS, 10..MS, 10..100 * MS]),
            losses: LossRates::default(),
            request_gap: pick(&[5 * MS..40 * MS, 5 * MS..200 * MS]),
            change_gap: pick(&[10 * MS..300 * MS, 100 * MS..2_000 * MS, 1_000 * MS..6_000 * MS]),
            prune_gap: None,
            outage_gap: None,
            outage: pick(&[100 * MS..3_000 * MS, 3_000 * MS..12_000 * MS]),
            outages: Vec::new(),
            strikes: None,
            notice_delay: pick(&[20..MS, MS..2_000 * MS]),
            is_patient: false,
            drift: 0,
            skew_ms: 0,
        };
        profile.edges = random.usize(1..4);
        profile.replicas = random.usize(1..4);
        let config = random_lease_config(random);
        let longer = longer_than(config, random);
        let of_others = if random.bool() { longer } else { config };
        profile.lease_configs.resize(profile.replicas - 1, of_others);
        profile.lease_configs.push(config);
        profile.other_lease_config = (random.u32(..4) == 0).then_some(longer);
        profile.serve_stale_s = if random.u32(..4) == 0 { random.u64(1..=4) } else { 0 };
        profile.crowd = if random.u32(..50) == 0 { CROWD } else { 0 };
        profile.is_sticky = random.u32(..3) == 0;
        profile.is_patient = random.bool();
        profile.prune_gap = (random.u32(..4) == 0).then_some(500 * MS..4_000 * MS);
        profile
    }

    /// Edges often return without a lease, and the database is slow.
    fn has_edges_that_come_back(&mut self) {
        self.outages = vec![(Outage::EdgeCutOff, 1)];
        self.outage_gap = Some(500 * MS..2_000 * MS);
        self.outage = 6_500 * MS..9_000 * MS;
        self.database_delay = MS..300 * MS;
        self.change_gap = 300 * MS..2_000 * MS;
        self.request_gap = MS..20 * MS;
    }

    /// How long a lease and its margin last at most before any restart, in milliseconds.
    pub(crate) fn first_longest_lease_ms(&self) -> u64 {
        self.lease_configs.iter().map(|config| config.lasts_ms()).max().unwrap_or_default()
    }

    /// How long a lease and its margin ever last at most, in milliseconds.
    pub(crate) fn longest_lease_ms(&self) -> u64 {
        self.first_longest_lease_ms().max(self.other_lease_config.map_or(0, LeaseConfig::lasts_ms))
    }

    /// How long an edge may use a verdict after the end of its lease, by its own clocks, in milliseconds.
    pub(crate) fn serve_stale_ms(&self) -> u64 {
        self.serve_stale_s * 1_000
    }

    /// How far two clocks are apart at most after a span, in milliseconds.
    pub(crate) fn apart_after_ms(&self, span_ms: u64) -> u64 {
        let drift = u64::from(self.drift);
        (span_ms * 2 * drift).div_ceil(1_000 - drift)
    }

    /// Whether there are failovers.
    pub(crate) fn fails_over(&self) -> bool {
        let mut outages = self.outages.iter().chain(&self.strikes).map(|(outage, _)| *outage);
        outages.any(|outage| outage == Outage::FailedOver)
    }

    /// Whether there are no faults.
    pub(crate) fn is_calm(&self) -> bool {
        let LossRates { sync_requests, sync_answers, verify_requests, verify_answers, .. } = self.losses;
        let is_lossless = [sync_requests, sync_answers, verify_requests, verify_answers] == [0; 4];
        let in_time = |delay: &Range<u64>| delay.end <= 100 * MS;
        is_lossless
            && self.outage_gap.is_none()
            && self.strikes.is_none()
            && in_time(&self.verify_delay)
            && self.database_delay.end <= 10 * MS
    }
}

/// The default lease settings or shorter ones, whose leases end more often.
fn random_lease_config(random: &mut fastrand::Rng) -> LeaseConfig {
    if random.u32(..3) == 0 {
        return LeaseConfig::default();
    }
    let hold_ms = random.u64(200..=2_000);
    let lease_ms = 2 * hold_ms + 2_000 + random.u64(0..=2_000);
    LeaseConfig { hold_ms, lease_ms, margin_ms: LeaseConfig::least_margin_ms(lease_ms) }
}

/// Lease settings with a longer lease, and often a longer margin than it needs.
fn longer_than(config: LeaseConfig, random: &mut fastrand::Rng) -> LeaseConfig {
    let lease_ms = config.lease_ms + random.u64(LONGER_LEASE_MS);
    let margin_ms = LeaseConfig::least_margin_ms(lease_ms) + random.u64(0..=500);
    LeaseConfig { lease_ms, margin_ms, ..config }
}

/// Some of the outages of edges, of replicas, of the database, or of all three.
fn some_outages(random: &mut fastrand::Rng) -> Vec<(Outage, u32)> {
    let of_all = [Outage::OF_EDGES, Outage::OF_REPLICAS, Outage::OF_THE_DATABASE].concat();
    let candidates = match random.u32(..6) {
        0 | 1 => Outage::OF_EDGES,
        2 => Outage::OF_REPLICAS,
        3 => Outage::OF_THE_DATABASE,
        _ => &of_all,
    };
    let mut outages: Vec<(Outage, u32)> = Vec::new();
    for outage in candidates {
        if random.u32(..3) == 0 {
            outages.push((*outage, random.u32(1..10)));
        }
    }
    // The list may be empty. Leases exist for edges that are cut off, so these are frequent.
    if outages.is_empty() || random.bool() {
        outages.push((Outage::EdgeCutOff, random.u32(1..10)));
    }
    outages
}
