//! `tests/envoy/istio.yaml` is what Istio makes of `istio/gateway/traffic-extension.yaml`: the end-to-end tests run it.

use serde_json::{Value, json};
use test_stack::envoy::configuration::{Shape, template};

use crate::{manifest, yaml};

/// What istiod, and then the agent beside Envoy, make of a `TrafficExtension`: `buildWasmConfig` in
/// pilot/pkg/model/extensions.go, and `rewriteVMConfig` in pkg/wasm/convert.go of Istio 1.31.
fn filter_of(extension: &Value) -> Value {
    let (metadata, wasm) = (&extension["metadata"], &extension["spec"]["wasm"]);
    let name = format!("{}.{}", metadata["namespace"].as_str().unwrap(), metadata["name"].as_str().unwrap());
    let variables = wasm["vmConfig"]["env"].as_array().unwrap();
    assert!(variables.iter().all(|variable| variable["valueFrom"] == "HOST"));
    let names: Vec<_> = variables.iter().map(|variable| variable["name"].clone()).collect();
    let policy = match wasm["failStrategy"].as_str() {
        Some("FAIL_RELOAD") => "FAIL_RELOAD",
        Some("FAIL_OPEN") => "FAIL_OPEN",
        _ => "FAIL_CLOSED",
    };
    json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": format!("extensions.istio.io/trafficextension/{name}"),
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "failure_policy": policy,
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": "/etc/envoy/edge_key_auth.wasm"}},
                    "environment_variables": {"host_env_keys": names},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": sorted(&wasm["pluginConfig"]).to_string(),
                },
            },
        },
    })
}

/// A protobuf `Struct` has its fields in the order of their names.
fn sorted(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Value::Object(fields.into_iter().collect())
}

#[test]
fn the_end_to_end_tests_run_what_istio_makes_of_the_manifest() {
    let extension = manifest("istio/gateway/traffic-extension.yaml", "TrafficExtension").value;
    let text = template(Shape::Istio).unwrap();
    let [bootstrap, listeners, filters]: [Value; 3] =
        text.split("\n---\n").map(|text| yaml("istio.yaml", text)).collect::<Vec<_>>().try_into().unwrap();
    let filter = filter_of(&extension);
    assert_eq!(filters["resources"], json!([filter]));
    let manager = &listeners["resources"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(manager["http_filters"][0]["name"], filter["name"]);
    let cluster = &extension["spec"]["wasm"]["pluginConfig"]["key_service"]["cluster"];
    let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
    assert!(clusters.iter().any(|found| found["name"] == *cluster), "{cluster}");
}
