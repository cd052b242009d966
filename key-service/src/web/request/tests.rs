use std::cell::Cell;

use axum::body::Body;
use axum::response::IntoResponse;
use serde_json::json;
use utoipa::ToSchema;

use super::*;
use crate::keys::rules::Scopes;
use crate::label::Label;
use crate::paging::Limit;

#[derive(Debug, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
struct Wanted {
    label: Label,
    scopes: Scopes,
    #[deserr(default, from(Option<Expiry>) = Some)]
    #[schema(value_type = Option<Expiry>)]
    expires_at: Option<Option<Expiry>>,
    #[deserr(default, from(bool) = Some)]
    is_admin: Option<bool>,
}

#[derive(Debug, Deserr, IntoParams)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
struct Query {
    #[deserr(default)]
    search: Option<String>,
    #[deserr(default)]
    limit: Option<Limit>,
}

/// The response to a refused request: `attr`, and the path and code of each problem.
async fn refused(error: ApiError) -> (Value, Vec<(String, String)>) {
    let response = error.into_response();
    assert_eq!(response.status(), 400);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    let errors = body["errors"].as_array().unwrap();
    assert_eq!((&body["code"], &body["detail"]), (&errors[0]["code"], &errors[0]["detail"]));
    let errors = errors.iter().map(|error| (text(error, "attr"), text(error, "code"))).collect();
    (body["attr"].clone(), errors)
}

async fn fields(path: &str, body: &Value) -> Result<Wanted, ApiError> {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let sent = ScopedFields::from_request(request, &()).await?;
    sent.check("scopes", &Catalogue::posthog().unwrap())
}

async fn params(query: &str) -> Result<Query, ApiError> {
    let request = Request::get(format!("/api/keys/{query}")).body(()).unwrap();
    let (mut parts, ()) = request.into_parts();
    Params::from_request_parts(&mut parts, &()).await.map(|Params { sent, .. }| sent)
}

#[tokio::test]
async fn absent_null_and_a_value_differ() {
    let sent = |more: Value| {
        let mut body = json!({"label": " CI ", "scopes": ["*"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let absent = fields("/", &sent(json!({}))).await.unwrap();
    assert_eq!((absent.label.as_ref(), absent.expires_at, absent.is_admin), ("CI", None, None));
    assert_eq!(absent.scopes, Scopes::parse(["*"]).unwrap());
    let null = fields("/", &sent(json!({"expires_at": null}))).await.unwrap();
    assert_eq!(null.expires_at, Some(None));
    let value = fields("/", &sent(json!({"expires_at": "2099-01-01T00:00:00Z", "is_admin": false}))).await;
    let value = value.unwrap();
    assert!(value.expires_at.is_some_and(|expiry| expiry.is_some()));
    assert_eq!(value.is_admin, Some(false));
    let (attr, errors) = refused(fields("/", &sent(json!({"is_admin": null}))).await.unwrap_err()).await;
    assert_eq!((attr, errors), (json!("is_admin"), vec![("is_admin".into(), "null".into())]));
}

#[tokio::test]
async fn problems_are_listed_in_the_order_of_the_document() {
    let body = json!({
        "expires_at": "2020-01-01T00:00:00Z",
        "is_admin": "yes",
        "label": "x".repeat(41),
        "lable": "CI",
        "scopes": ["insight:read", "unicorn:read", 7, "unicorn:write", "insight:admin"],
    });
    let (attr, errors) = refused(fields("/?dry_run=1", &body).await.unwrap_err()).await;
    assert_eq!(attr, "label");
    let expected = [
        ("label", "max_length"),
        ("scopes[1]", "invalid_input"),
        ("scopes[2]", "invalid_input"),
        ("scopes[3]", "invalid_input"),
        ("scopes[4]", "invalid_input"),
        ("expires_at", "invalid_input"),
        ("is_admin", "invalid_input"),
        ("lable", "unknown_field"),
        ("dry_run", "unknown_field"),
    ];
    assert_eq!(errors, expected.map(|(attr, code)| (attr.to_owned(), code.to_owned())));

    let (attr, errors) = refused(fields("/", &json!({"scopes": "*"})).await.unwrap_err()).await;
    assert_eq!(attr, "label");
    let expected = [("label", "required"), ("scopes", "not_a_list")];
    assert_eq!(errors, expected.map(|(attr, code)| (attr.to_owned(), code.to_owned())));
}

#[tokio::test]
async fn the_held_scopes_are_read_only_for_a_scope_outside_the_catalogue() {
    let was_read = Cell::new(false);
    let change = async |scopes: Value| {
        was_read.set(false);
        let body = json!({"label": "CI", "scopes": scopes, "is_admin": "yes"}).to_string();
        let request = Request::post("/").header("content-type", "application/json");
        let sent = ScopedFields::<Wanted>::from_request(request.body(Body::from(body)).unwrap(), &());
        let held = async {
            was_read.set(true);
            Ok::<_, ApiError>(ScopeSet::parse(["unicorn:read"]).unwrap())
        };
        let catalogue = Catalogue::posthog().unwrap();
        let checked = sent.await.unwrap().check_change("scopes", &catalogue, held).await;
        let (_, errors) = refused(checked.unwrap_err()).await;
        let attrs: Vec<_> = errors.into_iter().map(|(attr, _)| attr).collect();
        (attrs, was_read.get())
    };
    let is_admin = || "is_admin".to_owned();
    assert_eq!(change(json!(["insight:read"])).await, (vec![is_admin()], false));
    assert_eq!(change(json!(["unicorn:read"])).await, (vec![is_admin()], true));
    let two = vec!["scopes[0]".to_owned(), is_admin()];
    assert_eq!(change(json!(["unicorn:write"])).await, (two, true));
}

#[tokio::test]
async fn a_long_list_of_problems_is_cut() {
    let scopes: Vec<_> = (0..100).collect();
    let error = fields("/", &json!({"scopes": scopes})).await.unwrap_err();
    let (attr, errors) = refused(error).await;
    assert_eq!((attr, errors.len()), (json!("label"), 20));
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_and_an_empty_one_is_absent() {
    let sent = params("?search=&limit=7&limit=8").await.unwrap();
    assert_eq!(sent.search, None);
    assert!(sent.limit.is_some());
    let (attr, errors) = refused(params("?limit=0&serach=x").await.unwrap_err()).await;
    assert_eq!(attr, "limit");
    let expected = [("limit", "invalid_input"), ("serach", "unknown_field")];
    assert_eq!(errors, expected.map(|(attr, code)| (attr.to_owned(), code.to_owned())));
}
