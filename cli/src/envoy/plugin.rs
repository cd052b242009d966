//! The Wasm filter itself, and the findings on it: failure policy, token, runtime.

use crate::document::Place;
use crate::finding::Finding;
use crate::settings::Settings;

/// The message of a Wasm filter.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

const V8: &str = "envoy.wasm.runtime.v8";

/// The callbacks and functions of the host without which requests pass unchecked, or with forged identity.
const CAPABILITIES: [&str; 6] = [
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_get_header_map_pairs",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
];

/// One Wasm filter of ours.
#[derive(Clone, Debug)]
pub struct Plugin<'d> {
    /// Its message.
    pub wasm: Place<'d>,
    /// The settings that it passes to the filter.
    pub settings: Settings,
}

impl<'d> Plugin<'d> {
    pub(super) fn of(wasm: Place<'d>) -> Option<Self> {
        let config = wasm.field("config")?;
        let settings = match config.field("configuration") {
            None => Settings::nothing(format!("{}.value", config.path_of("configuration"))),
            Some(configuration) => match configuration.field("value") {
                Some(value) if configuration.is_message("google.protobuf.StringValue") => {
                    Settings::of_text(&value)
                }
                Some(value) => Settings::of_struct(&value),
                None => Settings::nothing(configuration.path_of("value")),
            },
        };
        let names = [
            &["name"][..],
            &["root_id"],
            &["vm_config", "vm_id"],
            &["vm_config", "code", "local", "filename"],
        ];
        let is_named = |names: &&[&str]| {
            let name = config.at(names).and_then(|place| place.text());
            name.is_some_and(is_our_name)
        };
        let is_ours = settings.are_ours() || names.iter().any(is_named);
        is_ours.then_some(Plugin { wasm, settings })
    }
}

/// Whether the name of a filter, a VM or a file is one of ours.
pub fn is_our_name(name: &str) -> bool {
    name.replace('-', "_").contains("edge_key_auth")
}

/// The message of a Wasm filter here, also in a `TypedStruct`.
pub(super) fn wasm_of<'d>(place: &Place<'d>) -> Option<Place<'d>> {
    if place.is_message(WASM) {
        return Some(place.clone());
    }
    let is_typed_struct =
        place.is_message("udpa.type.v1.TypedStruct") || place.is_message("xds.type.v3.TypedStruct");
    let type_url = place.field("type_url").and_then(|url| url.text());
    let is_wasm = is_typed_struct && type_url.is_some_and(|url| url.rsplit('/').next() == Some(WASM));
    place.field("value").filter(|_| is_wasm)
}

/// The findings on one filter.
pub(super) fn judge(plugin: &Plugin<'_>) -> Vec<Finding> {
    let Some(config) = plugin.wasm.field("config") else { return Vec::new() };
    let mut findings = Vec::new();
    findings.extend(failure_policy(&config));
    findings.extend(configuration_type(&config));
    findings.extend(token(&config, plugin.settings.token_env()));
    findings.extend(runtime(&config));
    findings.extend(capabilities(&config));
    if config.field("allow_on_headers_stop_iteration").is_some_and(|option| option.is_true()) {
        let message = "with the module of `cargo build`, Envoy then collects the body of a held request in memory: load \
                       the module of `cargo xtask build`, or leave the option out";
        findings.push(Finding::hint(config.path_of("allow_on_headers_stop_iteration"), message));
    }
    findings
}

fn failure_policy(config: &Place<'_>) -> Option<Finding> {
    const UNCHECKED: &str =
        "Envoy then forwards the requests of a failed VM unchecked: set failure_policy: FAIL_RELOAD";
    if let Some(fail_open) = config.field("fail_open").filter(|option| option.is_true()) {
        return Some(Finding::error(fail_open.path, format!("is true: {UNCHECKED}")));
    }
    let path = config.path_of("failure_policy");
    match config.field("failure_policy") {
        Some(policy) if policy.is_enum("FAIL_OPEN", 3) => {
            Some(Finding::error(path, format!("is FAIL_OPEN: {UNCHECKED}")))
        }
        Some(policy) if policy.is_enum("FAIL_RELOAD", 1) => None,
        policy => {
            let is = if policy.is_none() { "is missing, which means FAIL_CLOSED" } else { "is FAIL_CLOSED" };
            let message = format!("{is}: a failed VM then answers 503 until Envoy restarts. Set FAIL_RELOAD");
            Some(Finding::hint(path, message))
        }
    }
}

fn configuration_type(config: &Place<'_>) -> Option<Finding> {
    let configuration = config.field("configuration")?;
    let known = ["google.protobuf.Struct", "google.protobuf.StringValue"];
    if known.iter().any(|name| configuration.is_message(name)) {
        return None;
    }
    let message = "must be type.googleapis.com/google.protobuf.Struct, or StringValue with JSON text";
    Some(Finding::error(configuration.path_of("@type"), message))
}

fn token(config: &Place<'_>, variable: &str) -> Vec<Finding> {
    let variables = config.at(&["vm_config", "environment_variables"]);
    let mut findings = Vec::new();
    let inline = variables.as_ref().and_then(|variables| variables.field("key_values"));
    let inline = inline.into_iter().flat_map(|values| values.fields()).find(|(name, _)| *name == variable);
    if let Some((_, place)) = &inline {
        let message = format!(
            "holds the edge token, and Envoy's config dump shows it: remove it, set {variable} in Envoy's environment, and \
             name it in host_env_keys"
        );
        findings.push(Finding::error(&place.path, message));
    }
    let keys = variables.as_ref().and_then(|variables| variables.field("host_env_keys"));
    // Envoy also takes one name in place of a list.
    let names =
        keys.into_iter().flat_map(|keys| if keys.text().is_some() { vec![keys] } else { keys.items() });
    let is_named = names.into_iter().any(|name| name.text() == Some(variable));
    if !is_named && inline.is_none() {
        let path = format!("{}.vm_config.environment_variables.host_env_keys", config.path);
        let message =
            format!("does not name {variable}, so the filter gets no edge token and refuses to load: add it");
        findings.push(Finding::error(path, message));
    }
    findings
}

fn runtime(config: &Place<'_>) -> Option<Finding> {
    let runtime = config.at(&["vm_config", "runtime"]);
    let text = runtime.as_ref().and_then(|runtime| runtime.text());
    if text == Some(V8) {
        return None;
    }
    let is = text.map_or_else(|| "is missing".to_owned(), |text| format!("is {text:?}"));
    let message = format!("{is}: the filter runs on V8 only. Set {V8}");
    Some(Finding::error(format!("{}.vm_config.runtime", config.path), message))
}

/// An empty map restricts nothing.
fn capabilities(config: &Place<'_>) -> Option<Finding> {
    let allowed = config.at(&["capability_restriction_config", "allowed_capabilities"])?;
    let names: Vec<_> = allowed.fields().into_iter().map(|(name, _)| name).collect();
    let lacking: Vec<_> = CAPABILITIES.into_iter().filter(|name| !names.contains(name)).collect();
    if names.is_empty() || lacking.is_empty() {
        return None;
    }
    let message = format!(
        "lacks {}, so requests can pass unchecked: add what is missing, or remove the restriction",
        lacking.join(", ")
    );
    Some(Finding::error(allowed.path, message))
}
