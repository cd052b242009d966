//! The bounds of a search in time.

use std::str::FromStr;

use deserr::Deserr;
use utoipa::openapi::schema::{KnownFormat, OneOfBuilder, SchemaFormat};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::time::Timestamp;
use crate::validation::Violation;

/// The first moment of a search: a time, or a date, which begins at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserr)]
#[deserr(try_from(&String) = Since::from_str -> Violation)]
pub struct Since(pub Timestamp);

/// The last moment of a search: a time, or a date, which ends at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserr)]
#[deserr(try_from(&String) = Until::from_str -> Violation)]
pub struct Until(pub Timestamp);

impl FromStr for Since {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        moment(text, "T00:00:00Z").map(Since)
    }
}

impl FromStr for Until {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        moment(text, "T23:59:59.999Z").map(Until)
    }
}

/// A time, or a date at this time of the day.
fn moment(text: &str, time_of_day: &str) -> Result<Timestamp, Violation> {
    let time = Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}{time_of_day}")));
    time.map_err(|_| {
        Violation::input(
            "Not a time of RFC 3339, such as 2030-01-31T12:00:00Z, or a date, such as 2030-01-31.",
        )
    })
}

impl ToSchema for Since {}

impl PartialSchema for Since {
    fn schema() -> RefOr<Schema> {
        time_or_date()
    }
}

impl ToSchema for Until {}

impl PartialSchema for Until {
    fn schema() -> RefOr<Schema> {
        time_or_date()
    }
}

fn time_or_date() -> RefOr<Schema> {
    let text = |format| {
        ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)))
    };
    OneOfBuilder::new().item(text(KnownFormat::DateTime)).item(text(KnownFormat::Date)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_counts_from_its_beginning_to_its_end() {
        let since = |text: &str| text.parse::<Since>().map(|since| since.0.to_string()).ok();
        let until = |text: &str| text.parse::<Until>().map(|until| until.0.to_string()).ok();
        assert_eq!(since("2030-01-31").as_deref(), Some("2030-01-31T00:00:00Z"));
        assert_eq!(until("2030-01-31").as_deref(), Some("2030-01-31T23:59:59.999Z"));
        let time = Some("2030-01-31T11:00:00Z");
        assert_eq!(since("2030-01-31T12:00:00+01:00").as_deref(), time);
        assert_eq!(until("2030-01-31T12:00:00+01:00").as_deref(), time);
        for text in ["", "yesterday", "2030-02-30", "2030-01", "2030-01-31T"] {
            assert_eq!((since(text), until(text)), (None, None), "{text:?}");
        }
    }
}
