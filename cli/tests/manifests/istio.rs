//! Names that have to agree between the manifests for Istio: services and clusters, proxies and principals, secrets and variables.

mod control_plane;

use std::collections::BTreeSet;

use edge_key_auth_cli::document::{Document, Format};
use edge_key_auth_cli::istio::extension;
use serde_json::{Value, json};

use crate::{Manifest, manifest, manifests, yaml};

const EXTENSIONS: [&str; 2] = ["TrafficExtension", "WasmPlugin"];

/// The host of the key service, and the number of its edge port.
fn edge() -> (String, u64) {
    let service = manifest("istio/key-service.yaml", "Service");
    let ports = service.value["spec"]["ports"].as_array().unwrap();
    let edge = ports.iter().find(|port| port["name"] == "http2-edge").unwrap();
    assert_eq!(edge["appProtocol"], "kubernetes.io/h2c");
    let host = format!("{}.{}.svc.cluster.local", service.name(), service.namespace());
    (host, edge["port"].as_u64().unwrap())
}

#[test]
fn the_filter_names_the_cluster_of_the_service_as_istio_does() {
    let (host, port) = edge();
    let extensions: Vec<_> =
        manifests().into_iter().filter(|manifest| EXTENSIONS.contains(&manifest.kind())).collect();
    assert_eq!(extensions.len(), 8);
    for manifest in extensions {
        let document = Document::read(&manifest.value.to_string(), Format::Json).unwrap();
        let settings = extension(&document).unwrap().settings;
        assert_eq!(settings.read().unwrap().config.key_service.authority, format!("{host}:{port}"));
        let (_, cluster) = settings.cluster().unwrap();
        assert_eq!(cluster, format!("outbound|{port}||{host}"), "{}", manifest.file);
    }
    let waypoint = manifest("istio/waypoint/waypoint.yaml", "EnvoyFilter");
    assert_eq!(
        waypoint.value["metadata"]["annotations"]["envoyfilter.istio.io/referenced-services"],
        format!("key-service/{host}")
    );
    // The comment of the file for a key service outside the mesh names the cluster of its ServiceEntry.
    let outside = manifest("istio/key-service-outside.yaml", "ServiceEntry");
    let (host, port) = (&outside.value["spec"]["hosts"][0], &outside.value["spec"]["ports"][0]["number"]);
    let text = std::fs::read_to_string(test_stack::paths::workspace().join("istio/key-service-outside.yaml"))
        .unwrap();
    assert!(text.contains(&format!("outbound|{port}||{}", host.as_str().unwrap())), "{text}");
    assert_eq!(manifest("istio/key-service-outside.yaml", "DestinationRule").value["spec"]["host"], *host);
}

#[test]
fn both_kinds_of_extension_say_the_same() {
    for folder in ["gateway", "gateway-api", "sidecar", "waypoint"] {
        let extension = manifest(&format!("istio/{folder}/traffic-extension.yaml"), "TrafficExtension").value;
        let plugin = manifest(&format!("istio/{folder}/wasm-plugin.yaml"), "WasmPlugin").value;
        assert_eq!(extension["metadata"], plugin["metadata"], "{folder}");
        let mut spec = extension["spec"].clone();
        let wasm = spec.as_object_mut().unwrap().remove("wasm").unwrap();
        spec.as_object_mut().unwrap().extend(wasm.as_object().unwrap().clone());
        assert_eq!(spec, plugin["spec"], "{folder}");
    }
}

#[test]
fn only_the_proxies_with_the_filter_reach_the_edge_port() {
    let (host, port) = edge();
    let rule = manifest("istio/key-service.yaml", "DestinationRule");
    assert_eq!(rule.value["spec"]["host"], host);
    let settings = &rule.value["spec"]["trafficPolicy"]["portLevelSettings"][0];
    assert_eq!(
        (&settings["port"]["number"], &settings["tls"]["mode"]),
        (&json!(port), &json!("ISTIO_MUTUAL"))
    );

    let service = manifest("istio/key-service.yaml", "Service");
    let pods = json!({"matchLabels": service.value["spec"]["selector"]});
    let tls = manifest("istio/key-service.yaml", "PeerAuthentication");
    assert_eq!(tls.value["spec"]["selector"], pods);
    assert_eq!(tls.value["spec"]["portLevelMtls"][port.to_string()]["mode"], "STRICT");

    let policy = manifest("istio/key-service.yaml", "AuthorizationPolicy");
    assert_eq!(
        (&policy.value["spec"]["selector"], &policy.value["spec"]["action"]),
        (&pods, &json!("ALLOW"))
    );
    let mut principals = BTreeSet::new();
    for rule in policy.value["spec"]["rules"].as_array().unwrap() {
        // In ambient mode, a rule with anything else matches nothing.
        for to in rule["to"].as_array().unwrap() {
            assert_eq!(to["operation"].as_object().unwrap().keys().collect::<Vec<_>>(), ["ports"]);
        }
        if rule["to"] != json!([{"operation": {"ports": [port.to_string()]}}]) {
            assert_eq!(rule, &json!({"to": [{"operation": {"ports": ["8080"]}}]}));
            continue;
        }
        let sources = rule["from"].as_array().unwrap();
        assert!(!sources.is_empty());
        for source in sources {
            let source = source["source"].as_object().unwrap();
            assert_eq!(source.keys().collect::<Vec<_>>(), ["principals"]);
            principals.extend(
                source["principals"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()),
            );
        }
    }
    let account =
        |manifest: &Manifest, name: String| format!("cluster.local/ns/{}/sa/{name}", manifest.namespace());
    let gateway = manifest("istio/gateway/traffic-extension.yaml", "TrafficExtension");
    let kubernetes = manifest("istio/gateway-api/gateway.yaml", "Gateway");
    let sidecar = manifest("istio/sidecar/traffic-extension.yaml", "TrafficExtension");
    let waypoint = manifest("istio/waypoint/waypoint.yaml", "Gateway");
    let expected = [
        // The chart names the service account after its release, and its label `istio` without the prefix.
        account(
            &gateway,
            format!("istio-{}", gateway.value["spec"]["selector"]["matchLabels"]["istio"].as_str().unwrap()),
        ),
        // Istio names the service account of a Gateway after it and its class, that of a waypoint after it alone.
        account(&kubernetes, format!("{}-istio", kubernetes.name())),
        account(
            &sidecar,
            sidecar.value["spec"]["selector"]["matchLabels"]["app"].as_str().unwrap().to_owned(),
        ),
        account(&waypoint, waypoint.name().to_owned()),
        "cluster.local/ns/monitoring/sa/prometheus".to_owned(),
    ];
    assert_eq!(principals, BTreeSet::from(expected));
}

#[test]
fn each_extension_is_attached_to_the_proxy_that_has_the_token() {
    for (folder, file) in [("gateway-api", "gateway"), ("waypoint", "waypoint")] {
        let file = format!("istio/{folder}/{file}.yaml");
        let (gateway, parameters) = (manifest(&file, "Gateway"), manifest(&file, "ConfigMap"));
        let target =
            json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway.name()}]);
        let mut attached =
            vec![manifest(&format!("istio/{folder}/traffic-extension.yaml"), "TrafficExtension")];
        attached.extend(manifests().into_iter().filter(|m| m.file == file && m.kind() == "EnvoyFilter"));
        for attached in attached {
            assert_eq!(attached.value["spec"]["targetRefs"], target, "{}", attached.file);
            assert_eq!(attached.namespace(), gateway.namespace());
        }
        assert_eq!(
            gateway.value["spec"]["infrastructure"]["parametersRef"],
            json!({"group": "", "kind": "ConfigMap", "name": parameters.name()})
        );
        assert_eq!(parameters.namespace(), gateway.namespace());
        let overlay = yaml(&file, parameters.value["data"]["deployment"].as_str().unwrap());
        assert_eq!(token_of(&overlay["spec"]["template"]["spec"]["containers"]), token());
    }
    let patch = manifest("istio/sidecar/deployment-patch.yaml", "Deployment");
    assert_eq!(token_of(&patch.value["spec"]["template"]["spec"]["containers"]), token());
    let sidecar = manifest("istio/sidecar/traffic-extension.yaml", "TrafficExtension");
    assert_eq!(sidecar.namespace(), patch.namespace());
    assert_eq!(sidecar.value["spec"]["match"], json!([{"mode": "SERVER"}]));
    let values =
        manifests().into_iter().find(|manifest| manifest.file == "istio/gateway/values.yaml").unwrap();
    assert_eq!(values.value["envVarFrom"], token());
}

/// The variable of the edge token in the environment of a proxy.
fn token() -> Value {
    let secret = json!({"secretKeyRef": {"name": "edge-key-auth", "key": "EDGE_TOKEN"}});
    json!([{"name": "EDGE_TOKEN", "valueFrom": secret}])
}

fn token_of(containers: &Value) -> Value {
    assert_eq!(containers[0]["name"], "istio-proxy");
    containers[0]["env"].clone()
}
