//! When a failed delivery is retried: soon, then less and less often, for about a day.

use std::time::Duration;

/// The most attempts for a message. With the waits below, the last attempt is 21 to 28 hours after the first.
pub(super) const MAX_ATTEMPTS: u32 = 14;

/// The wait before the second attempt. Each further one is three times as long as the one before.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 60 * 60);

/// The wait before an attempt; the first attempt is 1. `random` makes it shorter or longer by an eighth at most, so that
/// messages that failed together are not retried together.
pub(super) fn wait_before(attempt: u32, random: u8) -> Duration {
    let Some(failures) = attempt.checked_sub(2) else { return Duration::ZERO };
    let wait = FIRST_WAIT.saturating_mul(3_u32.saturating_pow(failures)).min(LONGEST_WAIT);
    // From 7/8 to 9/8.
    wait.mul_f64(0.875 + f64::from(random) / 1_020.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours_until_the_last_attempt(random: u8) -> u64 {
        (1..=MAX_ATTEMPTS).map(|attempt| wait_before(attempt, random)).sum::<Duration>().as_secs() / 3_600
    }

    #[test]
    fn it_is_tried_at_once_then_after_seconds_then_for_about_a_day() {
        assert_eq!(wait_before(1, 255), Duration::ZERO);
        assert_eq!(wait_before(2, 0), Duration::from_millis(4_375));
        assert_eq!(wait_before(2, 255), Duration::from_millis(5_625));
        assert!(wait_before(4, 0) > wait_before(3, 255) * 2);
        assert_eq!(hours_until_the_last_attempt(0), 21);
        assert_eq!(hours_until_the_last_attempt(255), 27);
    }

    #[test]
    fn no_attempt_is_further_away_than_the_longest_wait() {
        assert_eq!(wait_before(u32::MAX, 255), LONGEST_WAIT.mul_f64(1.125));
    }
}
