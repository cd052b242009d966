//! Each dangerous or wrong setting of Istio's resources, in the shipped files with one change.

use std::fs;

use edge_key_auth_cli::document::Format;
use edge_key_auth_cli::finding::Severity::{self, Error, Hint};

use crate::findings;

/// The shipped extensions of a gateway: the text, and the path of what describes the module.
fn extensions() -> [(String, &'static str); 2] {
    let read =
        |name| fs::read_to_string(test_stack::paths::workspace().join("istio/gateway").join(name)).unwrap();
    [(read("traffic-extension.yaml"), "spec.wasm"), (read("wasm-plugin.yaml"), "spec")]
}

/// Changes both extensions, and expects one finding: this one. `WASM` in the path is what describes the module.
fn expect(from: &str, to: &str, severity: Severity, path: &str, word: &str) {
    for (text, wasm) in extensions() {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        let found = findings(&text.replace(from, to), Format::Yaml);
        let [(found_severity, found_path, message)] = &found[..] else { panic!("{from}: {to}: {found:?}") };
        assert_eq!((*found_severity, found_path.clone()), (severity, path.replace("WASM", wasm)), "{to}");
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn the_shipped_extensions_have_no_findings() {
    for (text, _) in extensions() {
        assert_eq!(findings(&text, Format::Yaml), []);
    }
}

#[test]
fn the_settings_around_the_module_are_checked() {
    const STRATEGY: &str = "failStrategy: FAIL_RELOAD";
    let path = "WASM.failStrategy";
    expect(STRATEGY, "failStrategy: FAIL_OPEN", Error, path, "unchecked");
    expect(STRATEGY, "failStrategy: FAIL_CLOSE", Hint, path, "is FAIL_CLOSE:");
    expect(STRATEGY, "", Hint, path, "is missing");
    expect("phase: AUTHN", "phase: STATS", Hint, "spec.phase", "forge");
    expect("phase: AUTHN", "", Hint, "spec.phase", "forge");
    let digest = format!("sha256: \"{}\"", "0".repeat(64));
    expect(&digest, "", Hint, "WASM.sha256", "is missing");
    expect("imagePullPolicy: IfNotPresent", "type: NETWORK", Error, "WASM.type", "HTTP");
}

#[test]
fn the_token_comes_from_the_environment_of_the_proxy() {
    let variables = "WASM.vmConfig.env";
    expect("- name: EDGE_TOKEN", "- name: OTHER", Error, variables, "does not name EDGE_TOKEN");
    for inline in ["valueFrom: INLINE", "value: secret"] {
        expect("valueFrom: HOST", inline, Error, &format!("{variables}[0]"), "holds the edge token");
    }
    let renamed = "cluster: outbound|8081||a.b\n        token_env: OTHER\n#";
    for (text, wasm) in extensions() {
        let indented =
            if wasm == "spec" { renamed.replace("        token", "      token") } else { renamed.to_owned() };
        let found = findings(&text.replace("cluster: ", &indented), Format::Yaml);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].2.contains("does not name OTHER"), "{found:?}");
    }
}

#[test]
fn the_settings_of_the_filter_are_read_in_their_place() {
    for (text, wasm) in extensions() {
        let found = findings(&text.replace("key_service:", "key_servise:"), Format::Yaml);
        let paths: Vec<_> = found.iter().map(|(_, path, _)| path.clone()).collect();
        let expected =
            ["key_service.cluster", "key_servise"].map(|path| format!("{wasm}.pluginConfig.{path}"));
        assert!(expected.iter().all(|path| paths.contains(path)), "{found:?}");
    }
}

#[test]
fn a_cluster_has_a_name_that_istio_gives() {
    let path = "WASM.pluginConfig.key_service.cluster";
    for name in [
        "key_service",
        "outbound|edge||key-service.key-service.svc.cluster.local",
        "outbound|8081||key-service",
    ] {
        let from = "cluster: outbound|8081||key-service.key-service.svc.cluster.local";
        expect(from, &format!("cluster: {name}"), Hint, path, "outbound|PORT||HOST");
    }
}

#[test]
fn a_module_of_someone_else_is_no_filter() {
    let text = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: { name: other }\nspec: { url: x }\n";
    let found = findings(text, Format::Yaml);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].2.contains("no edge-key-auth filter is configured"), "{found:?}");
}
