//! Each dangerous or wrong setting of Envoy Gateway's resources, in the shipped files with one change.

use std::fs;

use edge_key_auth_cli::document::{Document, Format};
use edge_key_auth_cli::finding::Severity::{self, Error, Hint};

use crate::findings_in;

const FILES: [&str; 3] = ["extension-policy.yaml", "proxy.yaml", "patch-policy.yaml"];

/// The findings in the shipped files together, with one change to one of them.
fn findings_with(name: &str, from: &str, to: &str) -> Vec<(Severity, String, String)> {
    let files = FILES.map(|file| {
        let path = test_stack::paths::workspace().join("envoy-gateway").join(file);
        let mut text = fs::read_to_string(path).unwrap();
        if file == name {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, to);
        }
        (file.to_owned(), Document::read(&text, Format::Yaml).unwrap())
    });
    findings_in(files.into())
}

/// What a shipped file has between two texts.
fn text_between(file: &str, begin: &str, end: &str) -> String {
    let path = test_stack::paths::workspace().join("envoy-gateway").join(file);
    let text = fs::read_to_string(path).unwrap();
    text.split_once(begin).unwrap().1.split_once(end).unwrap().0.to_owned()
}

/// Expects one finding after a change: this one.
fn expect(file: &str, from: &str, to: &str, severity: Severity, path: &str, word: &str) {
    let found = findings_with(file, from, to);
    let [(found_severity, found_path, message)] = &found[..] else { panic!("{from}: {to}: {found:?}") };
    assert_eq!((*found_severity, found_path.as_str()), (severity, path), "{to}");
    assert!(message.contains(word), "{message}");
}

#[test]
fn the_shipped_files_have_no_findings() {
    assert_eq!(findings_with("none", "", ""), []);
}

#[test]
fn a_policy_that_leaves_routes_unchecked_is_an_error() {
    let policy = "extension-policy.yaml";
    let kind = "spec.targetRefs[0].kind";
    expect(
        policy,
        "kind: Gateway",
        "kind: HTTPRoute",
        Error,
        kind,
        "is HTTPRoute: the requests of other routes",
    );
    let section = "name: ingress\n      sectionName: https";
    expect(policy, "name: ingress", section, Error, "spec.targetRefs[0].sectionName", "one listener");
    expect(policy, "targetRefs:", "other:", Error, "spec.targetRefs", "for no request");
    assert_eq!(findings_with(policy, "targetRefs:", "targetSelectors:"), []);
    expect(policy, "failOpen: false", "failOpen: true", Error, "spec.wasm[0].failOpen", "unchecked");
}

#[test]
fn the_token_comes_from_the_environment_of_the_proxy() {
    let keys = "spec.wasm[0].env.hostKeys";
    expect("extension-policy.yaml", "- EDGE_TOKEN", "- OTHER", Error, keys, "does not name EDGE_TOKEN");
    let variables = "spec.provider.kubernetes.envoyDeployment.container.env";
    expect("proxy.yaml", "name: EDGE_TOKEN", "name: OTHER", Error, variables, "does not set EDGE_TOKEN");
    let inline = "value: secret\n              other:";
    expect(
        "proxy.yaml",
        "valueFrom:",
        inline,
        Error,
        &format!("{variables}[0].value"),
        "holds the edge token",
    );
}

#[test]
fn the_cluster_is_one_of_the_bootstrap() {
    let path = "spec.wasm[0].config.key_service.cluster";
    let policy = "extension-policy.yaml";
    expect(
        policy,
        "cluster: key_service",
        "cluster: keys",
        Error,
        path,
        "no bootstrap adds the cluster \"keys\"",
    );
    expect("proxy.yaml", "- name: key_service", "- name: keys", Error, path, "no bootstrap adds the cluster");
    for (kind, word) in [("type: Replace", "is Replace"), ("other: Merge", "is missing, which means Replace")]
    {
        expect("proxy.yaml", "type: Merge", kind, Hint, "spec.bootstrap.type", word);
    }
    // Without a file that has a bootstrap, only a name that cannot last is a finding.
    let text = fs::read_to_string(test_stack::paths::workspace().join("envoy-gateway").join(policy)).unwrap();
    for (name, count) in [("keys", 0), ("httproute/api/api/rule/0", 1)] {
        let text = text.replace("cluster: key_service", &format!("cluster: {name}"));
        let document = Document::read(&text, Format::Yaml).unwrap();
        let found = findings_in(vec![(policy.to_owned(), document)]);
        assert_eq!(found.len(), count, "{found:?}");
        assert!(found.iter().all(|(severity, at, _)| *severity == Hint && at == path), "{found:?}");
    }
}

#[test]
fn the_text_of_the_bootstrap_is_read() {
    let bootstrap = "spec.bootstrap.value";
    let found = findings_with("proxy.yaml", "static_resources:", "static_resources: [");
    assert!(
        found.iter().any(|(_, path, message)| path == bootstrap && message.contains("is not YAML")),
        "{found:?}"
    );
    let twice = "type: STRICT_DNS\n            type: STRICT_DNS";
    let found = findings_with("proxy.yaml", "type: STRICT_DNS", twice);
    assert!(
        found.iter().any(|(_, path, _)| path.starts_with(&format!("{bootstrap}.static_resources"))),
        "{found:?}"
    );
}

#[test]
fn a_module_without_a_digest_is_a_hint() {
    let digest = format!("sha256: \"{}\"", "0".repeat(64));
    let path = "spec.wasm[0].code.image.sha256";
    expect("extension-policy.yaml", &digest, "", Hint, path, "is missing");
}

#[test]
fn the_settings_of_the_filter_are_read_in_their_place() {
    let found = findings_with("extension-policy.yaml", "key_service:", "key_servise:");
    let paths: Vec<_> = found.iter().map(|(_, path, _)| path.as_str()).collect();
    for path in ["key_service.cluster", "key_servise"] {
        assert!(paths.contains(&&*format!("spec.wasm[0].config.{path}")), "{found:?}");
    }
}

#[test]
fn a_patch_that_opens_the_filter_is_an_error() {
    let value = "spec.jsonPatches[0].operation.value";
    let patch = "patch-policy.yaml";
    expect(patch, "value: FAIL_RELOAD", "value: FAIL_OPEN", Error, value, "unchecked");
    let open = "path: /typed_config/config/fail_open\n        value: true";
    let shipped = "path: /typed_config/config/failure_policy\n        value: FAIL_RELOAD";
    expect(patch, shipped, open, Error, value, "unchecked");
    assert_eq!(findings_with(patch, "op: add", "op: remove"), [], "it removes a field of the filter only");
    let operation = format!("op: add\n{}", text_between(patch, "op: add\n", "        path:"));
    let removal = operation.replace("op: add", "op: remove") + "        from: x\n";
    let found =
        findings_with(patch, &(operation + "        path: /typed_config/config/failure_policy\n"), &removal);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, found[0].1.as_str()), (Error, "spec.jsonPatches[0].operation.op"));
}

#[test]
fn a_policy_with_other_modules_is_no_filter() {
    let text = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata: { name: other }\n\
                spec: { wasm: [{ code: { type: HTTP, http: { url: x } } }] }\n";
    let found = findings_in(vec![("file".to_owned(), Document::read(text, Format::Yaml).unwrap())]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].2.contains("no edge-key-auth filter is configured"), "{found:?}");
}
