//! `tests/envoy/envoy-gateway.yaml` is what Envoy Gateway makes of `envoy-gateway/`: the end-to-end tests run it.

use serde_json::{Value, json};
use test_stack::envoy::configuration::{Shape, template};

use super::{bootstrap, gateway, policy};
use crate::{manifest, yaml};

/// What Envoy Gateway makes of an `EnvoyExtensionPolicy`: `buildWasm` in internal/gatewayapi/envoyextensionpolicy.go, and
/// `buildHCMWasmFilter` in internal/xds/translator/wasm.go of Envoy Gateway 1.9.0.
fn filter_of(policy: &Value) -> Value {
    let (metadata, wasm) = (&policy["metadata"], &policy["spec"]["wasm"][0]);
    let name = |part: &str| metadata[part].as_str().unwrap();
    let resource = format!("envoyextensionpolicy/{}/{}/wasm/0", name("namespace"), name("name"));
    // It sets fail_open, which is false by default in Envoy too.
    assert_eq!(wasm["failOpen"], json!(false));
    json!({
        "name": format!("envoy.filters.http.wasm/{resource}"),
        "disabled": true,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": wasm["name"],
                "vm_config": {
                    "vm_id": resource,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": "/etc/envoy/edge_key_auth.wasm"}},
                    "environment_variables": {"host_env_keys": wasm["env"]["hostKeys"]},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": wasm["config"].to_string(),
                },
            },
        },
    })
}

/// The bootstrap, the resource of the listener and that of the routes.
fn documents() -> [Value; 3] {
    let text = template(Shape::EnvoyGateway).unwrap();
    let documents = text.split("\n---\n").map(|text| yaml("envoy-gateway.yaml", text));
    documents.collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn the_end_to_end_tests_run_what_envoy_gateway_makes_of_the_policy() {
    let [_, listeners, routes] = documents();
    let filter = filter_of(&policy().value);
    let listener = &listeners["resources"][0];
    let port = &gateway().value["spec"]["listeners"][0]["port"];
    assert_eq!(listener["name"], format!("tcp-{port}"));
    let manager = &listener["default_filter_chain"]["filters"][0]["typed_config"];
    assert_eq!(manager["http_filters"][0], filter);
    assert_eq!(manager["rds"]["route_config_name"], format!("http-{port}"));
    assert_eq!(routes["resources"][0]["name"], format!("http-{port}"));
    for route in routes["resources"][0]["virtual_hosts"][0]["routes"].as_array().unwrap() {
        let enabled = route["typed_per_filter_config"].as_object().unwrap();
        assert_eq!(enabled.keys().collect::<Vec<_>>(), [filter["name"].as_str().unwrap()]);
    }
}

#[test]
fn the_end_to_end_tests_run_the_bootstrap_of_the_proxies() {
    let [mut whole, ..] = documents();
    let added = bootstrap("envoy-gateway/proxy.yaml");
    let cluster = &mut whole["static_resources"]["clusters"][0];
    let path = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
    let mut expected = added["static_resources"]["clusters"][0].clone();
    *expected.pointer_mut(path).unwrap() = cluster.pointer(path).unwrap().clone();
    assert_eq!(*cluster, expected);
    let statistics = &whole["stats_config"];
    assert_eq!(statistics["histogram_bucket_settings"], added["stats_config"]["histogram_bucket_settings"]);
    let [tags, added] = [statistics, &added["stats_config"]]
        .map(|statistics| statistics["stats_tags"].as_array().unwrap().clone());
    assert!(tags.ends_with(&added), "{tags:?}");
    // They are those of envoy/envoy.yaml.
    let shipped = yaml("envoy.yaml", &template(Shape::Envoy).unwrap());
    assert_eq!(shipped["stats_config"]["stats_tags"], json!(added));
}

/// The end-to-end tests add the field that the patch adds, in the same place.
#[test]
fn the_patch_names_the_filter_in_the_listener() {
    let [_, listeners, _] = documents();
    let patch = manifest("envoy-gateway/patch-policy.yaml", "EnvoyPatchPolicy").value;
    let patch = &patch["spec"]["jsonPatches"][0];
    let listener = &listeners["resources"][0];
    assert_eq!((&patch["name"], &patch["type"]), (&listener["name"], &listener["@type"]));
    let operation = &patch["operation"];
    let filter = &listener["default_filter_chain"]["filters"][0]["typed_config"]["http_filters"][0];
    let selected = format!("..http_filters[?(@.name=='{}')]", filter["name"].as_str().unwrap());
    assert_eq!(operation["jsonPath"], selected);
    let (parent, field) = operation["path"].as_str().unwrap().rsplit_once('/').unwrap();
    assert!(filter.pointer(parent).unwrap().is_object(), "{parent}");
    assert_eq!(
        (field, &operation["op"], &operation["value"]),
        ("failure_policy", &json!("add"), &json!("FAIL_RELOAD"))
    );
}
