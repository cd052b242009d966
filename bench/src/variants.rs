//! What is compared: Envoy with different filters, and requests that end in different ways.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::keys;

/// The filter of a variant's Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// None but the router.
    None,
    /// The stock SDK's, which does nothing.
    Empty,
    /// Envoy's `api_key_auth`, with a static list of keys.
    ApiKeyAuth,
    /// Envoy's Lua filter, with a table of keys, and three headers for the upstream.
    Lua,
    /// Envoy's `ext_authz`, which asks a server on this machine over HTTP.
    ExtAuthz,
    /// Ours.
    Ours(IdentityHeaders),
}

/// The headers for the upstream that our filter adds to a request with a valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityHeaders {
    /// The user, the key and its scopes.
    All,
    /// Only the key.
    KeyId,
}

/// The `Authorization` header of a variant's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// None.
    Absent,
    /// The keys 0 to n - 1 in turn.
    Keys(u32),
    /// A key that lacks the scope.
    Narrow,
    /// So many unknown values in turn that each has left the cache when it comes again.
    Unknown,
}

/// One row of the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) filter: Filter,
    pub(crate) path: &'static str,
    pub(crate) credentials: Credentials,
    /// The status of every answer.
    pub(crate) status: u16,
}

/// Rows that are compared with each other.
pub(crate) const NONE: &str = "no filter";
/// See [`NONE`].
pub(crate) const EMPTY: &str = "empty SDK filter";
/// See [`NONE`].
pub(crate) const LUA: &str = "Lua, table";
/// See [`NONE`].
pub(crate) const EXT_AUTHZ: &str = "ext_authz, HTTP";
/// See [`NONE`].
pub(crate) const HIT: &str = "ours: hit, 1 key";
/// See [`NONE`].
pub(crate) const HIT_OF_FEW: &str = "ours: hit, 100 keys";
/// See [`NONE`].
pub(crate) const HIT_OF_MANY: &str = "ours: hit, 100,000 keys";
/// See [`NONE`].
pub(crate) const MISS: &str = "ours: miss, 401";

const PROTECTED: &str = "/api/projects/";
const PUBLIC: &str = "/decide/";

/// All rows, in the order of the table.
pub(crate) const ALL: [Variant; 14] = [
    row(NONE, Filter::None, PROTECTED, Credentials::Keys(1), 200),
    row(EMPTY, Filter::Empty, PROTECTED, Credentials::Keys(1), 200),
    row("api_key_auth, static", Filter::ApiKeyAuth, PROTECTED, Credentials::Keys(1), 200),
    row(LUA, Filter::Lua, PROTECTED, Credentials::Keys(1), 200),
    row(EXT_AUTHZ, Filter::ExtAuthz, PROTECTED, Credentials::Keys(1), 200),
    row("ours: public", Filter::Ours(IdentityHeaders::All), PUBLIC, Credentials::Absent, 200),
    row(HIT, Filter::Ours(IdentityHeaders::All), PROTECTED, Credentials::Keys(1), 200),
    row("ours: hit, one header", Filter::Ours(IdentityHeaders::KeyId), PROTECTED, Credentials::Keys(1), 200),
    row(HIT_OF_FEW, Filter::Ours(IdentityHeaders::All), PROTECTED, Credentials::Keys(100), 200),
    row(
        "ours: hit, 10,000 keys",
        Filter::Ours(IdentityHeaders::All),
        PROTECTED,
        Credentials::Keys(10_000),
        200,
    ),
    row(HIT_OF_MANY, Filter::Ours(IdentityHeaders::All), PROTECTED, Credentials::Keys(100_000), 200),
    row("ours: 401, no key", Filter::Ours(IdentityHeaders::All), PROTECTED, Credentials::Absent, 401),
    row("ours: 403, a hit", Filter::Ours(IdentityHeaders::All), PROTECTED, Credentials::Narrow, 403),
    row(MISS, Filter::Ours(IdentityHeaders::All), PROTECTED, Credentials::Unknown, 401),
];

/// Ten times as many as the filter caches for invalid keys.
const UNKNOWN_KEYS: u32 = 100_000;

/// The settings of our filter. In a run of more than ten minutes, the default `active_ttl_ms` would put misses into the rows of
/// hits.
fn settings(headers: IdentityHeaders) -> Value {
    let identity_headers = match headers {
        IdentityHeaders::All => json!({}),
        IdentityHeaders::KeyId => json!({"user_id": null, "scopes": null}),
    };
    json!({
        "key_service": {"cluster": "key_service"},
        "cache": {"active_ttl_ms": 86_400_000},
        "identity_headers": identity_headers,
    })
}

const fn row(
    name: &'static str,
    filter: Filter,
    path: &'static str,
    credentials: Credentials,
    status: u16,
) -> Variant {
    Variant { name, filter, path, credentials, status }
}

/// The rows whose names contain one of these texts, and those that others are compared with; all rows without a text. Also
/// the names of the other rows.
///
/// # Errors
/// No row has one of the texts.
pub(crate) fn chosen(only: &[String]) -> Result<(Vec<Variant>, Vec<&'static str>)> {
    if let Some(text) = only.iter().find(|text| !ALL.iter().any(|row| row.name.contains(text.as_str()))) {
        bail!("no variant has {text:?} in its name; there are: {}", ALL.map(|row| row.name).join("; "));
    }
    let is_chosen = |row: &Variant| {
        only.is_empty()
            || [NONE, EMPTY].contains(&row.name)
            || only.iter().any(|text| row.name.contains(text.as_str()))
    };
    let (chosen, others): (Vec<_>, Vec<_>) = ALL.into_iter().partition(is_chosen);
    Ok((chosen, others.into_iter().map(|row| row.name).collect()))
}

impl Credentials {
    /// The values that requests send; none if they send no header.
    pub(crate) fn keys(self) -> Vec<String> {
        match self {
            Credentials::Absent => Vec::new(),
            Credentials::Keys(keys) => (0..keys).map(keys::value).collect(),
            Credentials::Narrow => vec![keys::narrow()],
            Credentials::Unknown => (0..UNKNOWN_KEYS).map(keys::unknown).collect(),
        }
    }

    /// How many valid keys that is.
    pub(crate) fn valid(self) -> u32 {
        match self {
            Credentials::Keys(keys) => keys,
            Credentials::Narrow => 1,
            Credentials::Absent | Credentials::Unknown => 0,
        }
    }
}

impl Filter {
    /// Whether it asks the key service.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Filter::Ours(_))
    }

    /// The filter's entry in `http_filters`; `None` without one. `module` is the Wasm module of its kind.
    pub(crate) fn config(self, module: &str) -> Option<Value> {
        let typed = match self {
            Filter::None => return None,
            Filter::Empty => wasm(module, "empty", json!({})),
            Filter::Ours(headers) => wasm(module, "ours", settings(headers)),
            Filter::ApiKeyAuth => json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
                "credentials": [{"key": keys::value(0), "client": "bench"}],
                "key_sources": [{"header": "Authorization"}],
            }),
            Filter::Lua => json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                "default_source_code": {"inline_string": lua()},
            }),
            Filter::ExtAuthz => json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
                "transport_api_version": "V3",
                "http_service": {
                    "server_uri": {"uri": "http://authorizer", "cluster": "authorizer", "timeout": "1s"},
                    "authorization_response": {
                        "allowed_upstream_headers": {"patterns": [{"prefix": "x-auth-"}]},
                    },
                },
            }),
        };
        Some(json!({"name": format!("{self:?}"), "typed_config": typed}))
    }
}

/// A Wasm filter with these settings.
fn wasm(module: &str, name: &str, settings: Value) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "failure_policy": "FAIL_CLOSED",
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
                "environment_variables": {"host_env_keys": ["EDGE_TOKEN"]},
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.Struct",
                "value": settings,
            },
        },
    })
}

/// Looks the key up in a table, and adds three headers.
fn lua() -> String {
    format!(
        r#"local keys = {{ ["Bearer {}"] = {{ user = "7", key = "9", scopes = "*" }} }}
function envoy_on_request(handle)
  local headers = handle:headers()
  local known = keys[headers:get("authorization")]
  if known == nil then
    handle:respond({{ [":status"] = "401" }}, "")
    return
  end
  headers:replace("x-auth-user-id", known.user)
  headers:replace("x-auth-key-id", known.key)
  headers:replace("x-auth-scopes", known.scopes)
end
"#,
        keys::value(0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_to_compare_with_are_always_chosen() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(|text| (*text).to_owned()).collect();
            let (rows, others) = chosen(&only)?;
            anyhow::Ok((rows.iter().map(|row| row.name).collect::<Vec<_>>(), others.len()))
        };
        assert_eq!(names(&[]).unwrap(), (ALL.map(|row| row.name).to_vec(), 0));
        assert_eq!(names(&["403"]).unwrap(), (vec![NONE, EMPTY, "ours: 403, a hit"], ALL.len() - 3));
        assert!(names(&["404"]).unwrap_err().to_string().contains("\"404\""));
    }
}
