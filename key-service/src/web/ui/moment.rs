//! Times as people read them.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::time::Timestamp;

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// One day, in milliseconds.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

const ABSOLUTE: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");

/// A time, relative to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    /// `at`, relative to `now`.
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        Moment { at, now }
    }

    /// For machines: RFC 3339.
    pub(super) fn iso(&self) -> String {
        self.at.to_string()
    }

    /// The whole time: "23 Nov 2026, 14:05 UTC".
    pub(super) fn absolute(&self) -> String {
        let moment =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.at.unix_ms()) * 1_000_000).ok();
        moment.and_then(|moment| moment.format(ABSOLUTE).ok()).unwrap_or_default()
    }

    /// The distance from now: "3 days ago", "in 2 hours".
    pub(super) fn relative(&self) -> String {
        let ms = self.at.unix_ms() - self.now.unix_ms();
        match (span(ms.abs()), ms > 0) {
            (None, true) => "in less than a minute".to_owned(),
            (None, false) => "just now".to_owned(),
            (Some(span), true) => format!("in {span}"),
            (Some(span), false) => format!("{span} ago"),
        }
    }
}

/// "3 days", in the largest unit that fits; `None` below a minute. Up to 119 days are shown as days, because users count
/// them towards the limit of 90.
pub(super) fn span(ms: i64) -> Option<String> {
    let (count, unit) = match ms {
        ..MINUTE_MS => return None,
        MINUTE_MS..HOUR_MS => (ms / MINUTE_MS, "minute"),
        HOUR_MS..DAY_MS => (ms / HOUR_MS, "hour"),
        _ if ms < 120 * DAY_MS => (ms / DAY_MS, "day"),
        _ if ms < 730 * DAY_MS => (ms / (30 * DAY_MS), "month"),
        _ => (ms / (365 * DAY_MS), "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    Some(format!("{count} {unit}{plural}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_relative_to_now() {
        let now = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        let shown = |ms: i64| Moment::new(Timestamp::from_unix_ms(now.unix_ms() + ms), now).relative();
        assert_eq!(shown(0), "just now");
        assert_eq!(shown(-59_000), "just now");
        assert_eq!(shown(59_000), "in less than a minute");
        assert_eq!(shown(-MINUTE_MS), "1 minute ago");
        assert_eq!(shown(-3 * DAY_MS), "3 days ago");
        assert_eq!(shown(91 * DAY_MS), "in 91 days");
        assert_eq!(shown(-150 * DAY_MS), "5 months ago");
        assert_eq!(shown(-800 * DAY_MS), "2 years ago");
    }

    #[test]
    fn the_whole_time_is_in_utc() {
        let at = Timestamp::parse("2026-11-03T01:05:00+02:00").unwrap();
        assert_eq!(Moment::new(at, at).absolute(), "2 Nov 2026, 23:05 UTC");
    }
}
