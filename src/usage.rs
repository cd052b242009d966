//! When keys were last used: collected here and reported to the key service with the next sync.

use std::collections::BTreeMap;
use std::rc::Rc;

use protocol::MAX_USED_PER_SYNC;

use crate::clock::Moment;
use crate::verdict::Principal;

/// The shortest time between two reports on one key, in seconds.
const REPORT_EVERY_S: u64 = 60 * 60;

/// The last uses that were not reported yet.
#[derive(Debug, Default)]
pub struct Usage {
    pending: BTreeMap<Box<str>, u64>,
    sent: BTreeMap<Box<str>, u64>,
}

impl Usage {
    /// Records a use of a key. If the report is full, a later use of the key is reported instead.
    pub fn note(&mut self, principal: &Rc<Principal>, now: Moment) {
        let seconds = now.wall / 1_000;
        if seconds >= u64::from(principal.report_from.get()) && self.pending.len() < MAX_USED_PER_SYNC {
            let next = seconds.saturating_add(REPORT_EVERY_S);
            principal.report_from.set(next.try_into().unwrap_or(u32::MAX));
            self.pending.insert(principal.key_id.clone(), seconds);
        }
    }

    /// The report for the next sync.
    pub fn report(&mut self) -> BTreeMap<String, u64> {
        self.sent = std::mem::take(&mut self.pending);
        self.sent.iter().map(|(key_id, at)| (key_id.to_string(), *at)).collect()
    }

    /// Ends the latest report. If it did not arrive, its uses are added to the next one, as far as that has room.
    pub fn reported(&mut self, arrived: bool) {
        for (key_id, at) in std::mem::take(&mut self.sent) {
            if !arrived && self.pending.len() < MAX_USED_PER_SYNC {
                self.pending.entry(key_id).or_insert(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(key_id: &str) -> Rc<Principal> {
        Rc::new(Principal::new("u".into(), key_id.into(), Default::default(), Default::default()))
    }

    fn at(seconds: u64) -> Moment {
        Moment { monotonic: seconds * 1_000, wall: seconds * 1_000 }
    }

    fn reported(usage: &mut Usage) -> Vec<(String, u64)> {
        usage.report().into_iter().collect()
    }

    #[test]
    fn a_key_is_reported_once_an_hour() {
        let (mut usage, key) = (Usage::default(), principal("k"));
        [10, 11, 3_609].iter().for_each(|&seconds| usage.note(&key, at(seconds)));
        assert_eq!(reported(&mut usage), [("k".into(), 10)]);
        usage.reported(true);
        usage.note(&key, at(3_609));
        assert_eq!(reported(&mut usage), []);
        usage.note(&key, at(3_610));
        assert_eq!(reported(&mut usage), [("k".into(), 3_610)]);
    }

    #[test]
    fn a_report_that_did_not_arrive_is_sent_again() {
        let (mut usage, key) = (Usage::default(), principal("k"));
        usage.note(&key, at(10));
        usage.report();
        usage.reported(false);
        assert_eq!(reported(&mut usage), [("k".into(), 10)]);
        usage.reported(true);
        assert_eq!(reported(&mut usage), []);
    }

    #[test]
    fn a_full_report_leaves_later_uses_to_the_next_report() {
        let mut usage = Usage::default();
        let keys: Vec<_> = (0..=MAX_USED_PER_SYNC).map(|n| principal(&n.to_string())).collect();
        keys.iter().for_each(|key| usage.note(key, at(10)));
        assert_eq!(usage.report().len(), MAX_USED_PER_SYNC);
        keys.iter().for_each(|key| usage.note(key, at(11)));
        assert_eq!(reported(&mut usage), [(MAX_USED_PER_SYNC.to_string(), 11)]);
    }
}
