//! The rule for the projects, and for the organizations, that a key is restricted to.

use std::borrow::Cow;

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, Value, ValueKind, ValuePointerRef,
};
use protocol::{InvalidResourceId, MAX_RESOURCE_ID_BYTES, ResourceId};
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::validation::Violation;

/// The most projects, or organizations, that a key can be restricted to.
pub const MAX_RESOURCE_IDS: usize = 100;

/// The projects, or the organizations, that a key is restricted to, in their order and without duplicates. Null and an
/// empty list mean no restriction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserr)]
#[deserr(try_from(Option<Vec<AnyResourceId>>) = ResourceIds::try_from -> Violation)]
pub struct ResourceIds(Option<Vec<ResourceId>>);

impl TryFrom<Option<Vec<AnyResourceId>>> for ResourceIds {
    type Error = Violation;

    fn try_from(sent: Option<Vec<AnyResourceId>>) -> Result<Self, Violation> {
        let mut ids = Vec::new();
        for AnyResourceId(id) in sent.unwrap_or_default() {
            if !ids.contains(&id) {
                ids.push(id);
            }
            if ids.len() > MAX_RESOURCE_IDS {
                return Err(Violation::too_many(MAX_RESOURCE_IDS));
            }
        }
        Ok(ResourceIds(Some(ids).filter(|ids| !ids.is_empty())))
    }
}

impl ResourceIds {
    /// Reads ids from their texts.
    ///
    /// # Errors
    /// The first text that is not an id, or that there are too many.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Violation> {
        let ids = texts.into_iter().map(AnyResourceId::parse).collect::<Result<_, _>>()?;
        Some(ids).try_into()
    }
}

impl From<ResourceIds> for Option<Vec<ResourceId>> {
    fn from(ids: ResourceIds) -> Self {
        ids.0
    }
}

/// The id of a project or an organization, as JSON writes it: a number or a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyResourceId(ResourceId);

impl AnyResourceId {
    fn parse(text: &str) -> Result<Self, Violation> {
        let violation = |error: InvalidResourceId| Violation::input(format!("Not a valid id: {error}."));
        text.parse().map(AnyResourceId).map_err(violation)
    }
}

impl<E: DeserializeError + MergeWithError<Violation>> Deserr<E> for AnyResourceId {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, E> {
        let failed = match value {
            Value::Integer(number) => return Ok(AnyResourceId(number.into())),
            Value::String(text) => match AnyResourceId::parse(&text) {
                Ok(id) => return Ok(id),
                Err(violation) => E::merge(None, violation, location),
            },
            actual => {
                let accepted = &[ValueKind::Integer, ValueKind::String];
                E::error(None, ErrorKind::IncorrectValueKind { actual, accepted }, location)
            }
        };
        Err(deserr::take_cf_content(failed))
    }
}

impl ToSchema for AnyResourceId {
    fn name() -> Cow<'static, str> {
        "ResourceId".into()
    }
}

impl PartialSchema for AnyResourceId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Integer, Type::String]))
            .description(Some(
                "The id of a project or an organization. A string of digits is answered as a number.",
            ))
            .minimum(Some(0))
            .min_length(Some(1))
            .max_length(Some(MAX_RESOURCE_ID_BYTES))
            .pattern(Some("^[A-Za-z0-9._~-]+$"))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Vec<String>> {
        let ids: Option<Vec<ResourceId>> = ResourceIds::parse(text.split_whitespace()).unwrap().into();
        ids.map(|ids| ids.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_keeps_its_order_and_has_no_duplicates() {
        assert_eq!(parsed("7 acme 3 7").unwrap(), ["7", "acme", "3"]);
        assert_eq!(parsed(""), None);
        assert_eq!(ResourceIds::try_from(None), ResourceIds::try_from(Some(Vec::new())));
    }

    #[test]
    fn an_invalid_id_and_too_many_ids_are_refused() {
        let error = ResourceIds::parse(["7", "@current"]).unwrap_err();
        assert_eq!(error.code, "invalid_input");
        assert!(error.detail.starts_with("Not a valid id: an id has 1 to 64 letters"), "{}", error.detail);
        let ids = |count| (0..count).map(|id| AnyResourceId(id.into())).collect::<Vec<_>>();
        assert!(ResourceIds::try_from(Some(ids(100))).is_ok());
        assert!(ResourceIds::try_from(Some([ids(100), ids(100)].concat())).is_ok(), "all occur twice");
        let error = ResourceIds::try_from(Some(ids(101))).unwrap_err();
        assert_eq!(
            (error.code, error.detail.as_str()),
            ("max_length", "Ensure this field has no more than 100 elements.")
        );
    }
}
