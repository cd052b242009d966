//! What is in the database: keys, the history of their changes, and leases.

use std::collections::{BTreeMap, BTreeSet};

use key_service::leases::{History, Lease, Leases, Position, Registration, Touched};
use protocol::rules::{Rule, holds};
use protocol::{ActiveVerdict, KeyDigest, ScopeSet, Verdict, VerifyResponse};

use super::Broken;

/// A key, as the database has it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Whose it is.
    pub user: usize,
    /// The digest of its one value.
    pub digest: KeyDigest,
    /// Whether it may read insights, which is what requests ask for.
    pub may_read: bool,
}

/// What a change does to the keys.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The key is gone.
    Delete(String),
    /// The key has another value.
    Roll(String, KeyDigest),
    /// The key may read insights, or may not.
    Scope(String, bool),
    /// The user is let in, or is not.
    Enable(usize, bool),
}

/// What a digest is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Nothing.
    Nothing,
    /// It is good, and may not read insights.
    Known,
    /// It is good, and may.
    Good,
}

/// All that transactions read and write.
#[derive(Clone, Debug)]
pub struct Data {
    /// The keys, by id.
    pub keys: BTreeMap<String, Key>,
    /// The users who are shut out.
    pub disabled: BTreeSet<usize>,
    /// The place of the latest change.
    pub position: Position,
    history: Vec<(u64, KeyDigest)>,
    pruned_to: u64,
    /// What each edge has acknowledged, and when its lease ends.
    pub(super) registry: BTreeMap<String, (u64, i64)>,
    pub(super) forgotten_until_ms: i64,
    /// How long, margin included, leases count after a loss.
    pub longest_lease_ms: u64,
    /// How long a lease may be that is recorded now.
    pub lease_limit_ms: u64,
    limited_at_ms: i64,
}

/// How long before its clock is read a record may have read the limit, in milliseconds.
const LONGEST_RECORD_MS: i64 = 1_000;

impl Data {
    pub(super) fn new(log: String, longest_lease_ms: u64) -> Self {
        Data {
            keys: BTreeMap::new(),
            disabled: BTreeSet::new(),
            position: Position { log, revision: 0 },
            history: Vec::new(),
            pruned_to: 0,
            registry: BTreeMap::new(),
            forgotten_until_ms: 0,
            longest_lease_ms,
            lease_limit_ms: longest_lease_ms,
            limited_at_ms: 0,
        }
    }

    /// Lets leases last so long. While leases that are forgotten are waited for, those may have been as long.
    pub(super) fn announce(&mut self, lasts_ms: u64, now_ms: i64) {
        self.lease_limit_ms = self.lease_limit_ms.max(lasts_ms);
        let longer_ms = lasts_ms.saturating_sub(self.longest_lease_ms);
        self.longest_lease_ms += longer_ms;
        if self.forgotten_until_ms > now_ms {
            self.forgotten_until_ms += longer_ms as i64;
        }
    }

    /// Lowers what is waited for, in two steps, unless some edge holds a longer lease.
    pub(super) fn lower_longest(&mut self, lasts_ms: u64, now_ms: i64) {
        let last_end_ms = self.registry.values().map(|(_, ends_at_ms)| *ends_at_ms).max().unwrap_or_default();
        let over_ms = self.limited_at_ms + self.longest_lease_ms as i64 + LONGEST_RECORD_MS;
        let is_over = over_ms < now_ms && self.forgotten_until_ms < now_ms;
        if is_over && last_end_ms <= now_ms + self.lease_limit_ms as i64 {
            self.longest_lease_ms = self.lease_limit_ms;
        }
        if self.lease_limit_ms > lasts_ms && last_end_ms <= now_ms + lasts_ms as i64 {
            (self.lease_limit_ms, self.limited_at_ms) = (lasts_ms, now_ms);
        }
    }

    /// What a digest is worth now.
    pub fn worth(&self, digest: &KeyDigest) -> Worth {
        match self.keys.values().find(|key| key.digest == *digest) {
            Some(key) if self.disabled.contains(&key.user) => Worth::Nothing,
            Some(key) if key.may_read => Worth::Good,
            Some(_) => Worth::Known,
            None => Worth::Nothing,
        }
    }

    /// What each digest is worth, and as of where.
    pub fn verdicts(&self, digests: &[KeyDigest]) -> VerifyResponse {
        VerifyResponse {
            log: self.position.log.clone(),
            revision: self.position.revision,
            verdicts: digests.iter().map(|digest| verdict(self.worth(digest))).collect(),
        }
    }

    /// The digests that a change touches.
    pub fn digests(&self, touched: &Touched) -> Vec<KeyDigest> {
        let of = |is_touched: &dyn Fn(&Key) -> bool| {
            self.keys.values().filter(|key| is_touched(key)).map(|key| key.digest).collect()
        };
        match touched {
            Touched::Key(id) => self.keys.get(id).map(|key| key.digest).into_iter().collect(),
            Touched::Value(digest) => vec![*digest],
            Touched::User(id) => of(&|key| key.user.to_string() == *id),
            Touched::KeysWith(values) => of(&|key| values.contains(&key.digest)),
        }
    }

    /// Makes a change, and writes down whom it concerns.
    pub(super) fn change(&mut self, position: Position, changed: &[KeyDigest], effect: Option<Effect>) {
        self.history.extend(changed.iter().map(|digest| (position.revision, *digest)));
        self.position = position;
        match effect {
            Some(Effect::Delete(id)) => drop(self.keys.remove(&id)),
            Some(Effect::Roll(id, digest)) => {
                self.keys.entry(id).and_modify(|key| key.digest = digest);
            }
            Some(Effect::Scope(id, may_read)) => {
                self.keys.entry(id).and_modify(|key| key.may_read = may_read);
            }
            Some(Effect::Enable(user, true)) => drop(self.disabled.remove(&user)),
            Some(Effect::Enable(user, false)) => drop(self.disabled.insert(user)),
            None => {}
        }
    }

    /// Forgets all changes but the latest few revisions'.
    pub(super) fn prune(&mut self, kept: u64) {
        self.pruned_to = self.pruned_to.max(self.position.revision.saturating_sub(kept));
        let pruned_to = self.pruned_to;
        self.history.retain(|(revision, _)| *revision > pruned_to);
    }

    /// What happened since a place.
    pub fn history(&self, since: Option<&Position>) -> History {
        let from = if holds(Rule::PrunedIsReset) { self.pruned_to } else { 0 };
        let told = from..=self.position.revision;
        let since = since.filter(|since| since.log == self.position.log && told.contains(&since.revision));
        let changed = since.map(|since| {
            let later = self.history.iter().rev().take_while(|(revision, _)| *revision > since.revision);
            later.map(|(_, digest)| *digest).collect()
        });
        History { position: self.position.clone(), changed }
    }

    /// Remembers an edge. A lease that is longer than leases may be is announced first.
    pub(crate) fn record(&mut self, registration: Registration, now_ms: i64) {
        self.announce(registration.lasts_ms, now_ms);
        let here = &self.position;
        let counts = |place: &Position| {
            place.log == here.log && place.revision <= here.revision || !holds(Rule::AcknowledgedInLog)
        };
        let acknowledged = registration.acknowledged.filter(counts).map_or(0, |place| place.revision);
        let ends_at_ms = now_ms + registration.lasts_ms as i64;
        let entry = self.registry.entry(registration.edge).or_insert((0, 0));
        *entry = (entry.0.max(acknowledged), entry.1.max(ends_at_ms));
    }

    /// Who holds a lease, and who has not acknowledged a place.
    pub fn leases(&self, position: &Position, now_ms: i64) -> Result<Leases, Broken> {
        if position.log != self.position.log && holds(Rule::SettledInLog) {
            return Err(Broken);
        }
        let behind = self.registry.iter().filter(|(_, (acknowledged, _))| *acknowledged < position.revision);
        let lease =
            |(edge, &(_, ends_at_ms)): (&String, &(u64, i64))| Lease { edge: edge.clone(), ends_at_ms };
        Ok(Leases {
            now_ms,
            longest_ms: self.longest_lease_ms,
            forgotten_until_ms: self.forgotten_until_ms,
            held: self.registry.values().filter(|(_, ends_at_ms)| *ends_at_ms > now_ms).count(),
            behind: behind.map(lease).collect(),
        })
    }
}

fn verdict(worth: Worth) -> Verdict {
    let scopes = match worth {
        Worth::Nothing => return Verdict::Inactive,
        Worth::Known => ScopeSet::default(),
        Worth::Good => ScopeSet::parse(["insight:read"]).unwrap_or_default(),
    };
    Verdict::Active(ActiveVerdict { key_id: "k".into(), user_id: "u".into(), scopes, expires_in_ms: None })
}
