//! Times of the service, in milliseconds since 1970-01-01 UTC, and its clocks.

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use deserr::Deserr;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::validation::Violation;

/// A moment, in milliseconds since 1970-01-01 UTC. Its text and JSON form is RFC 3339 in UTC, ending in `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserr, sqlx::Type, utoipa::ToSchema)]
#[deserr(try_from(&String) = parse -> Violation)]
#[sqlx(transparent)]
#[schema(value_type = String, format = DateTime, examples("2099-01-31T12:00:00Z"))]
pub struct Timestamp(i64);

/// The text is not a moment of RFC 3339 (section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of RFC 3339, such as 2030-01-31T12:00:00Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The moment `ms` milliseconds after 1970-01-01 UTC.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Timestamp(ms)
    }

    /// This machine's wall clock. A function takes the time as a value if its result depends on it, so that tests choose it.
    /// Handlers, commands, background tasks and the reader of an expiry call this. What replicas have to agree on uses the
    /// database's clock instead.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// The moment `seconds` later.
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Timestamp(self.0.saturating_add(i64::from(seconds) * 1000))
    }

    /// Milliseconds from `earlier` to this moment; `None` if this moment is not after `earlier`.
    pub fn ms_after(self, earlier: Timestamp) -> Option<u64> {
        u64::try_from(self.0.saturating_sub(earlier.0)).ok().filter(|&ms| ms > 0)
    }

    /// Reads a moment in the form of RFC 3339 with any offset. Fractions of a millisecond are dropped.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp)?;
        let ms = i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map_err(|_| InvalidTimestamp)?;
        // The offset can move the last hours of the year 9999 into the year 10000, which RFC 3339 cannot write.
        Some(Timestamp(ms)).filter(|moment| moment.to_rfc3339().is_some()).ok_or(InvalidTimestamp)
    }

    /// The text of RFC 3339 in UTC; `None` for a moment outside the years 0 to 9999.
    fn to_rfc3339(self) -> Option<String> {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).ok()?;
        moment.format(&Rfc3339).ok()
    }
}

/// This machine's monotonic clock. Logic that depends on elapsed time takes the moment as a value, so that tests need not
/// wait; this function is for its callers, and for measurements.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub(crate) fn monotonic_now() -> Instant {
    Instant::now()
}

fn parse(text: &str) -> Result<Timestamp, Violation> {
    Timestamp::parse(text)
        .map_err(|_| Violation::input("Not a time of RFC 3339, such as 2030-01-31T12:00:00Z."))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339().ok_or(fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text =
            self.to_rfc3339().ok_or_else(|| serde::ser::Error::custom("a time outside the calendar"))?;
        serializer.serialize_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_with_z() {
        let moment = Timestamp::parse("2026-11-23T10:43:00.120+01:00").unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), r#""2026-11-23T09:43:00.12Z""#);
        assert_eq!(Timestamp::parse("1970-01-01T00:00:01Z"), Ok(Timestamp::from_unix_ms(1000)));
    }

    #[test]
    fn a_text_that_is_no_moment_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2026-11-23",
            "2026-11-23T09:43:00",
            "2026-13-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(Timestamp::parse(text), Err(InvalidTimestamp), "{text:?}");
        }
    }

    #[test]
    fn a_moment_that_has_come_is_no_milliseconds_away() {
        let now = Timestamp::from_unix_ms(5_000);
        assert_eq!(now.ms_after(now), None);
        assert_eq!(Timestamp::from_unix_ms(4_999).ms_after(now), None);
        assert_eq!(now.plus_seconds(2).ms_after(now), Some(2_000));
    }
}
