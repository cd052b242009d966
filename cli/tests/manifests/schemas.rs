//! The schemas of the kinds, made strict: they refuse fields that they do not know.

use std::fs;

use serde_json::{Value, json};

use crate::Manifest;

/// The schema of each kind of resource: API version, kind, and file in `schemas/`.
const KINDS: [(&str, &str, &str); 16] = [
    ("apps/v1", "Deployment", "deployment"),
    ("extensions.istio.io/v1alpha1", "TrafficExtension", "traffic_extension"),
    ("extensions.istio.io/v1alpha1", "WasmPlugin", "wasm_plugin"),
    ("gateway.envoyproxy.io/v1alpha1", "ClientTrafficPolicy", "client_traffic_policy"),
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", "envoy_extension_policy"),
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyPatchPolicy", "envoy_patch_policy"),
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy", "envoy_proxy"),
    ("gateway.networking.k8s.io/v1", "Gateway", "gateway"),
    ("networking.istio.io/v1", "DestinationRule", "destination_rule"),
    ("networking.istio.io/v1", "ServiceEntry", "service_entry"),
    ("networking.istio.io/v1alpha3", "EnvoyFilter", "envoy_filter"),
    ("networking.k8s.io/v1", "NetworkPolicy", "network_policy"),
    ("security.istio.io/v1", "AuthorizationPolicy", "authorization_policy"),
    ("security.istio.io/v1", "PeerAuthentication", "peer_authentication"),
    ("v1", "ConfigMap", "config_map"),
    ("v1", "Service", "service"),
];

/// Files that are no resource but values of a Helm chart.
const VALUES: [(&str, &str); 2] = [
    ("envoy-gateway/values.yaml", "envoy_gateway_chart_values"),
    ("istio/gateway/values.yaml", "gateway_chart_values"),
];

/// Files that Kubernetes merges into a resource: nothing is required in them.
const PATCHES: [&str; 1] = ["istio/sidecar/deployment-patch.yaml"];

/// What is wrong with a manifest, with the path of each field.
pub(crate) fn problems(manifest: &Manifest) -> Vec<String> {
    let Manifest { file, value } = manifest;
    if let Some((_, schema)) = VALUES.iter().find(|(values, _)| values == file) {
        let mut schema = read(schema);
        make_strict(&mut schema);
        let problems = problems_in(value, &schema);
        if value["envVarFrom"].is_null() {
            return problems;
        }
        // The chart copies these into a container as they are, and its schema does not say what they are.
        let containers = json!([{"name": "istio-proxy", "env": value["envVarFrom"]}]);
        let overlay = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        return [problems, problems_of_overlay(&overlay)].concat();
    }
    let is_of =
        |(version, kind, _): &&(&str, &str, &str)| value["apiVersion"] == *version && value["kind"] == *kind;
    let Some((_, _, name)) = KINDS.iter().find(is_of) else {
        let fields: Vec<_> = value.as_object().unwrap().keys().collect();
        return vec![format!(
            "no schema has apiVersion {} and kind {}; the fields are {fields:?}",
            value["apiVersion"], value["kind"]
        )];
    };
    let mut schema = resource(name);
    if PATCHES.contains(&file.as_str()) {
        require_nothing(&mut schema);
    }
    problems_in(value, &schema)
}

/// What is wrong with a part of a Deployment that Istio merges into the one of a gateway or a waypoint.
pub(crate) fn problems_of_overlay(overlay: &Value) -> Vec<String> {
    let mut schema = resource("deployment");
    require_nothing(&mut schema);
    problems_in(overlay, &schema)
}

/// What is wrong with a part of a bootstrap that Envoy Gateway merges into its own.
pub(crate) fn problems_of_bootstrap(bootstrap: &Value) -> Vec<String> {
    let mut schema = read("envoy_bootstrap");
    make_strict(&mut schema);
    problems_in(bootstrap, &schema)
}

fn problems_in(value: &Value, schema: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    let problems = validator.iter_errors(value);
    problems.map(|problem| format!("{}: {problem}", problem.instance_path())).collect()
}

/// The schema in a file, as it is.
fn read(name: &str) -> Value {
    let folder = test_stack::paths::workspace().join("cli/tests/manifests/schemas");
    let text = fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    assert!(file["source"].as_str().is_some_and(|source| source.contains("commit")), "{name}");
    file["schema"].clone()
}

/// The strict schema of a kind of resource.
fn resource(name: &str) -> Value {
    let mut schema = read(name);
    // A CRD has no schema for the fields that every resource has.
    let common = read("service");
    if schema["properties"]["metadata"] == json!({"type": "object"}) {
        schema["properties"]["metadata"] = common["properties"]["metadata"].clone();
        schema["$defs"] = common["$defs"].clone();
    }
    for field in ["apiVersion", "kind"] {
        schema["properties"][field] = json!({"type": "string"});
    }
    make_strict(&mut schema);
    schema
}

/// Forbids fields other than the listed ones. Alternatives (`oneOf` and so on) only restrict what is listed.
fn make_strict(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let is_open = fields.contains_key("additionalProperties")
                || fields.contains_key("x-kubernetes-preserve-unknown-fields");
            if fields.get("properties").is_some_and(Value::is_object) && !is_open {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            for name in ["properties", "$defs"] {
                let schemas = fields.get_mut(name).and_then(Value::as_object_mut);
                schemas.into_iter().flatten().for_each(|(_, schema)| make_strict(schema));
            }
            for name in ["items", "additionalProperties"] {
                fields.get_mut(name).into_iter().for_each(make_strict);
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(make_strict),
        _ => {}
    }
}

fn require_nothing(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // A field of this name has a schema, not a list.
            if fields.get("required").is_some_and(Value::is_array) {
                fields.remove("required");
            }
            fields.iter_mut().for_each(|(_, schema)| require_nothing(schema));
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(require_nothing),
        _ => {}
    }
}
