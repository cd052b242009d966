//! The choice of when a key or a token expires.

use super::form::Form;
use super::moment::Moment;
use crate::keys::rules::Expiry;
use crate::time::Timestamp;
use crate::validation::Violation;

const DAY_S: u32 = 24 * 60 * 60;

/// The option that is chosen at first for something new. The API has no such default: without an expiry, a key never expires.
const SUGGESTED: &str = "90";

/// What the form offers and has chosen.
#[derive(Debug)]
pub(super) struct ExpiryChoice {
    /// The value of the chosen option.
    choice: String,
    /// The day for the choice of a date, as `<input type="date">` writes it.
    pub(super) date: String,
    /// The expiry that there is now.
    pub(super) current: Option<Moment>,
    /// Whether the form is for something new.
    pub(super) is_new: bool,
}

impl ExpiryChoice {
    /// For something new.
    pub(super) fn suggested() -> Self {
        ExpiryChoice { choice: SUGGESTED.to_owned(), date: String::new(), current: None, is_new: true }
    }

    /// For something that expires at `current`, or never.
    pub(super) fn new(current: Option<Moment>) -> Self {
        let choice = if current.is_some() { "keep" } else { "never" };
        ExpiryChoice { choice: choice.to_owned(), date: String::new(), current, is_new: false }
    }

    /// What the form sent.
    pub(super) fn sent(self, form: &Form) -> Self {
        let (choice, date) = (form.text("expires_at").to_owned(), form.text("expiry_date").to_owned());
        ExpiryChoice { choice, date, ..self }
    }

    /// Whether the option with that value is chosen.
    pub(super) fn is(&self, choice: &str) -> bool {
        self.choice == choice
    }

    /// The chosen expiry: `None` to change nothing, `Some(None)` for never.
    ///
    /// # Errors
    /// Neither one of the list nor a day to come.
    pub(super) fn check(&self, now: Timestamp) -> Result<Option<Option<Timestamp>>, Violation> {
        let days = match self.choice.as_str() {
            "keep" => return Ok(None),
            "never" => return Ok(Some(None)),
            "date" => return Ok(Some(Some(self.end_of_day(now)?))),
            "30" => 30,
            "90" => 90,
            "365" => 365,
            _ => return Err(Violation::input("Choose an option from the list.")),
        };
        Ok(Some(Some(now.plus_seconds(days * DAY_S))))
    }

    /// A key that expires on a day works until that day is over.
    fn end_of_day(&self, now: Timestamp) -> Result<Timestamp, Violation> {
        let end = Timestamp::parse(&format!("{}T23:59:59Z", self.date))
            .map_err(|_| Violation::input("Enter the last day on which the key works."))?;
        Expiry::new(end, now).map(Timestamp::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(sent: &str) -> Result<Option<Option<Timestamp>>, Violation> {
        let now = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        ExpiryChoice::new(None).sent(&Form::parse(sent.as_bytes())).check(now)
    }

    fn moment(text: &str) -> Option<Option<Timestamp>> {
        Some(Some(Timestamp::parse(text).unwrap()))
    }

    #[test]
    fn an_expiry_is_so_many_days_away_or_the_end_of_a_day_or_never() {
        assert_eq!(checked("expires_at=30"), Ok(moment("2026-12-23T12:00:00Z")));
        assert_eq!(
            checked("expires_at=date&expiry_date=2026-11-23"),
            Ok(moment("2026-11-23T23:59:59Z")),
            "today"
        );
        assert_eq!(checked("expires_at=never&expiry_date=2020-01-01"), Ok(Some(None)));
        assert_eq!(checked("expires_at=keep"), Ok(None));
    }

    #[test]
    fn an_expiry_is_suggested_for_something_new_only() {
        let now = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        assert_eq!(ExpiryChoice::suggested().check(now), Ok(moment("2027-02-21T12:00:00Z")));
        assert_eq!(ExpiryChoice::new(None).check(now), Ok(Some(None)));
        assert_eq!(ExpiryChoice::new(Some(Moment::new(now, now))).check(now), Ok(None));
    }

    #[test]
    fn a_day_that_is_over_or_none_is_refused() {
        for sent in [
            "expires_at=date&expiry_date=2026-11-22",
            "expires_at=date&expiry_date=",
            "expires_at=date&expiry_date=tomorrow",
            "expires_at=31",
            "",
        ] {
            assert!(checked(sent).is_err(), "{sent:?}");
        }
    }
}
