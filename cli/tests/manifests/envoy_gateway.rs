//! Names that have to agree between the manifests for Envoy Gateway.

mod control_plane;

use edge_key_auth_cli::check::check;
use edge_key_auth_cli::document::{Document, Format};
use serde_json::{Value, json};

use crate::{Manifest, manifest, yaml};

const PROXIES: [&str; 2] = ["envoy-gateway/proxy.yaml", "envoy-gateway/proxy-outside.yaml"];

fn policy() -> Manifest {
    manifest("envoy-gateway/extension-policy.yaml", "EnvoyExtensionPolicy")
}

fn gateway() -> Manifest {
    manifest("envoy-gateway/gateway.yaml", "Gateway")
}

/// What an EnvoyProxy adds to the bootstrap of Envoy Gateway.
pub(crate) fn bootstrap(file: &str) -> Value {
    let proxy = manifest(file, "EnvoyProxy");
    assert_eq!(proxy.value["spec"]["bootstrap"]["type"], "Merge", "{file}");
    yaml(file, proxy.value["spec"]["bootstrap"]["value"].as_str().unwrap())
}

#[test]
fn every_policy_is_attached_to_the_gateway_as_a_whole() {
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway().name()});
    for policy in [policy(), manifest("envoy-gateway/client-traffic-policy.yaml", "ClientTrafficPolicy")] {
        assert_eq!(policy.value["spec"]["targetRefs"], json!([target]), "{}", policy.file);
        assert_eq!(policy.namespace(), gateway().namespace(), "{}", policy.file);
    }
    let patch = manifest("envoy-gateway/patch-policy.yaml", "EnvoyPatchPolicy");
    assert_eq!(patch.value["spec"]["targetRef"], target);
    assert_eq!(patch.namespace(), gateway().namespace());
}

#[test]
fn the_proxies_of_the_gateway_have_the_token_and_the_cluster() {
    let policy = policy();
    for file in PROXIES {
        let proxy = manifest(file, "EnvoyProxy");
        let parameters =
            json!({"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": proxy.name()});
        assert_eq!(gateway().value["spec"]["infrastructure"]["parametersRef"], parameters, "{file}");
        assert_eq!(proxy.namespace(), gateway().namespace(), "{file}");

        let container = &proxy.value["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"];
        let secret = json!({"secretKeyRef": {"name": "edge-key-auth", "key": "EDGE_TOKEN"}});
        assert_eq!(container["env"], json!([{"name": "EDGE_TOKEN", "valueFrom": secret}]), "{file}");
        let wasm = &policy.value["spec"]["wasm"][0];
        assert_eq!(wasm["env"]["hostKeys"], json!(["EDGE_TOKEN"]));

        let clusters = bootstrap(file)["static_resources"]["clusters"].clone();
        assert_eq!(clusters[0]["name"], wasm["config"]["key_service"]["cluster"], "{file}");
        assert_eq!(clusters[0]["load_assignment"]["cluster_name"], clusters[0]["name"], "{file}");

        // `check` finds nothing in the files together.
        let files = [&policy, &proxy, &manifest("envoy-gateway/patch-policy.yaml", "EnvoyPatchPolicy")];
        let files = files.map(|manifest| {
            let document = Document::read(&manifest.value.to_string(), Format::Json).unwrap();
            (manifest.file.clone(), document)
        });
        for report in check(&files, None) {
            assert_eq!(report.findings, [], "{}", report.file);
        }
    }
}

#[test]
fn only_the_proxies_of_the_gateway_reach_the_edge_port() {
    let service = manifest("envoy-gateway/key-service.yaml", "Service");
    let ports = service.value["spec"]["ports"].as_array().unwrap();
    let edge = ports.iter().find(|port| port["name"] == "http2-edge").unwrap();
    let host = format!("{}.{}.svc.cluster.local", service.name(), service.namespace());
    let cluster = &bootstrap(PROXIES[0])["static_resources"]["clusters"][0];
    assert_eq!(
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"],
        json!({"address": host, "port_value": edge["port"]})
    );

    let policy = manifest("envoy-gateway/key-service.yaml", "NetworkPolicy");
    assert_eq!(policy.namespace(), service.namespace());
    let spec = &policy.value["spec"];
    assert_eq!(spec["podSelector"]["matchLabels"], service.value["spec"]["selector"]);
    assert_eq!(spec["policyTypes"], json!(["Ingress"]));
    // A NetworkPolicy names ports of pods.
    let [public, restricted] = &spec["ingress"].as_array().unwrap()[..] else { panic!("{spec}") };
    assert_eq!(public, &json!({"ports": [{"port": 8080}]}));
    assert_eq!(restricted["ports"], json!([{"port": edge["targetPort"]}]));
    let labels = json!({
        "gateway.envoyproxy.io/owning-gateway-namespace": gateway().namespace(),
        "gateway.envoyproxy.io/owning-gateway-name": gateway().name(),
    });
    let namespace = |name| json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    assert_eq!(
        restricted["from"],
        json!([
            {"namespaceSelector": namespace("envoy-gateway-system"), "podSelector": {"matchLabels": labels}},
            {"namespaceSelector": namespace("monitoring")},
        ])
    );
}

/// The proxies for a key service outside the cluster differ in its address and in TLS.
#[test]
fn both_kinds_of_proxy_say_the_same() {
    let [inside, outside] = PROXIES.map(|file| bootstrap(file)["static_resources"]["clusters"][0].clone());
    let [mut inside, mut outside] = [inside, outside].map(|cluster| cluster.as_object().unwrap().clone());
    inside.remove("load_assignment");
    let assignment = outside.remove("load_assignment").unwrap();
    let tls = outside.remove("transport_socket").unwrap();
    assert_eq!(inside, outside);
    let address =
        &assignment["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"];
    let tls = &tls["typed_config"];
    assert_eq!(&tls["sni"], address);
    let validation = &tls["common_tls_context"]["validation_context"];
    assert_eq!(&validation["match_typed_subject_alt_names"][0]["matcher"]["exact"], address);
    assert!(validation["trusted_ca"]["filename"].is_string());
}
