//! The OpenAPI document of the public API, gathered from the handlers.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::catalogue::Catalogue;
use crate::keys::rules::AnyScope;
use crate::web::error::Body;
use crate::web::session;

const COOKIE_DESCRIPTION: &str = "The session that POST /api/login/ begins. Over plain HTTP on the service's own machine the \
     cookie's name is `session`.";

/// The head of the document.
pub(super) fn begin() -> OpenApi {
    let info = InfoBuilder::new()
        .title("edge-key-auth key service")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Accounts and personal API keys, in the shapes of PostHog's API. The answer to a change comes when \
             every edge has applied it; `revocation` has the details. The last slash of a path is optional.",
        ))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// Adds the scopes of the catalogue, and the common parts of all operations: authentication and errors.
pub(super) fn complete(api: &mut OpenApi, catalogue: &Catalogue) {
    let components = api.components.get_or_insert_default();
    components.schemas.insert(AnyScope::name().into_owned(), scopes(catalogue));
    components.schemas.insert(Body::name().into_owned(), Body::schema());
    let cookie = ApiKeyValue::with_description(session::COOKIE, COOKIE_DESCRIPTION);
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("ekm_…")
        .description(Some(
            "A management token. If an operation names a verb (read, revoke or create), the token must have that verb.",
        ))
        .build();
    components.add_security_scheme("management_token", SecurityScheme::Http(bearer));
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            add_errors(operation, path.contains('{'));
            complete_body(operation, &mut components.schemas);
        }
    }
}

/// The scopes that keys can get.
fn scopes(catalogue: &Catalogue) -> RefOr<Schema> {
    let objects = catalogue.objects().iter().map(|object| &object.object);
    let scopes = objects.flat_map(|object| [format!("{object}:read"), format!("{object}:write")]);
    let scopes: Vec<_> = std::iter::once("*".to_owned()).chain(scopes).collect();
    let example = scopes.get(1).cloned();
    ObjectBuilder::new().schema_type(Type::String).examples(example).enum_values(Some(scopes)).into()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let operations = [
        (Method::Get, &mut item.get),
        (Method::Post, &mut item.post),
        (Method::Patch, &mut item.patch),
        (Method::Delete, &mut item.delete),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The method of an operation.
#[derive(Clone, Copy, Debug)]
enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

/// The id of an operation, by the rule of PostHog's API: the words of the path, then the action. Generated clients name their
/// functions after it.
fn operation_id(method: Method, path: &str) -> String {
    let segments: Vec<_> = path.trim_matches('/').split('/').skip(1).collect();
    let is_one = segments.last().is_some_and(|last| last.starts_with(['{', '@']));
    let action = match method {
        Method::Get if is_one => "retrieve",
        Method::Get => "list",
        Method::Post => "create",
        Method::Patch => "partial_update",
        Method::Delete => "destroy",
    };
    let words = segments.iter().filter(|segment| !segment.starts_with('{'));
    words.map(|word| word.trim_start_matches('@')).chain([action]).collect::<Vec<_>>().join("_")
}

/// Bodies have no unknown fields. A body without required fields is optional.
fn complete_body(operation: &mut Operation, schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    let name = body.content.values().find_map(|content| match content {
        RefOr::T(Content { schema: Some(RefOr::Ref(reference)), .. }) => {
            reference.ref_location.rsplit('/').next()
        }
        _ => None,
    });
    body.required = Some(Required::True);
    if let Some(RefOr::T(Schema::Object(object))) = name.and_then(|name| schemas.get_mut(name)) {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        body.required = Some(if object.required.is_empty() { Required::False } else { Required::True });
    }
}

fn add_errors(operation: &mut Operation, has_path_parameter: bool) {
    let errors = [
        (
            "400",
            "A field or parameter is unknown or invalid, or the request is malformed. `errors` lists every problem.",
            true,
        ),
        ("401", "No credentials were sent, or they are not accepted here.", operation.security.is_some()),
        ("403", "The caller may not do this, or the request comes from another origin.", true),
        ("404", "The object does not exist, or the caller may not access it.", has_path_parameter),
        ("408", "The request took too long.", true),
        ("413", "The request body is too large.", operation.request_body.is_some()),
        ("415", "The request body is not application/json.", operation.request_body.is_some()),
        ("503", "The database is unavailable. Retry-After is the number of seconds to wait.", true),
    ];
    for (status, description, applies) in errors {
        if applies && !operation.responses.responses.contains_key(status) {
            operation.responses.responses.insert(status.to_owned(), error(description).into());
        }
    }
}

fn error(description: &str) -> Response {
    let content: Content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Body::name()))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}
