//! Renders the Envoy configurations of a stack: from the files in `envoy/`, which users copy, or from the files in
//! `tests/envoy/` that are what Istio and Envoy Gateway make of the files in `istio/` and `envoy-gateway/`.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::paths;

/// The addresses and paths marked `[1]` to `[5]` in the file: a description, and the text to replace. Each text occurs
/// exactly once; the rest of the file is used unchanged.
const PLACES: [(&str, &str); 5] = [
    ("[1] Envoy's admin address", "address: 127.0.0.1, port_value: 9901"),
    ("[2] Envoy's listener", "address: 0.0.0.0, port_value: 10000"),
    ("[3] the Wasm module", "filename: /etc/envoy/edge_key_auth.wasm"),
    ("[4] the key service's edge listener", "address: key-service, port_value: 8081"),
    ("[5] the upstream", "address: echo, port_value: 8082"),
];

/// Where an Envoy's configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `envoy/envoy.yaml`: one file, with the filter's settings as a `google.protobuf.Struct`.
    Envoy,
    /// `tests/envoy/istio.yaml`: bootstrap, listener and filter in three files, with the filter's settings as JSON text.
    Istio,
    /// `tests/envoy/envoy-gateway.yaml`: bootstrap, listener and routes in three files, with the filter's settings as JSON
    /// text.
    EnvoyGateway,
}

/// The file of a shape.
struct Layout {
    /// The shape's name in [`paths::SHAPE_VARIABLE`].
    name: &'static str,
    folder: &'static str,
    file: &'static str,
    /// The dynamic resources that follow the bootstrap, in their order. The file names theirs as `/etc/envoy/NAME.yaml`.
    resources: &'static [&'static str],
    /// The filter's settings in the file, for tests that change them.
    settings: &'static str,
    /// Whether the settings are text in single quotes.
    is_quoted: bool,
}

impl Shape {
    const ALL: [Shape; 3] = [Shape::Envoy, Shape::Istio, Shape::EnvoyGateway];

    /// The shape that [`paths::SHAPE_VARIABLE`] names; [`Shape::Envoy`] if it is not set.
    pub fn selected() -> Self {
        let name = env::var_os(paths::SHAPE_VARIABLE);
        let named = |shape: &Shape| name.as_ref().is_some_and(|name| name == shape.layout().name);
        Shape::ALL.into_iter().find(named).unwrap_or(Shape::Envoy)
    }

    /// The dynamic resources of the shape: `lds`, `ecds` or `rds`.
    pub(super) fn resources(self) -> &'static [&'static str] {
        self.layout().resources
    }

    fn layout(self) -> Layout {
        match self {
            Shape::Envoy => Layout {
                name: "envoy",
                folder: "envoy",
                file: "envoy.yaml",
                resources: &[],
                settings: r#"{ "key_service": { "cluster": "key_service" } }"#,
                is_quoted: false,
            },
            Shape::Istio => Layout {
                name: "istio",
                folder: "tests/envoy",
                file: "istio.yaml",
                resources: &["lds", "ecds"],
                settings: r#"{"key_service":{"cluster":"outbound|8081||key-service.key-service.svc.cluster.local"}}"#,
                is_quoted: true,
            },
            Shape::EnvoyGateway => Layout {
                name: "envoy-gateway",
                folder: "tests/envoy",
                file: "envoy-gateway.yaml",
                resources: &["lds", "rds"],
                settings: r#"{"key_service":{"cluster":"key_service"}}"#,
                is_quoted: true,
            },
        }
    }
}

/// The values for the marked places of `envoy/envoy.yaml`.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Envoy's admin address.
    pub admin: SocketAddr,
    /// The listener for downstream clients.
    pub listener: SocketAddr,
    /// The Wasm module's file.
    pub wasm: &'a Path,
    /// The key service's edge listener.
    pub edge: SocketAddr,
    /// The upstream.
    pub upstream: SocketAddr,
}

/// The addresses for `envoy/replicas.yaml`.
#[derive(Clone, Debug)]
pub struct BalancerAddresses {
    /// Envoy's admin address.
    pub admin: SocketAddr,
    /// The address that balances over the public listeners.
    pub public: SocketAddr,
    /// The address that balances over the edge listeners.
    pub edge: SocketAddr,
    /// Each replica's public and edge listener.
    pub replicas: [(SocketAddr, SocketAddr); REPLICAS],
}

/// How many replicas `envoy/replicas.yaml` has.
pub(crate) const REPLICAS: usize = 3;

/// The text of the file of a shape.
///
/// # Errors
/// The file cannot be read.
pub fn template(shape: Shape) -> Result<String> {
    let Layout { folder, file, .. } = shape.layout();
    read(folder, file)
}

/// The text of `envoy/replicas.yaml` with these addresses.
///
/// # Errors
/// The file cannot be read, or an address does not occur in it exactly once.
pub fn balancer(addresses: &BalancerAddresses) -> Result<String> {
    let mut rendered = read("envoy", "replicas.yaml")?;
    let place = |host: &str, port| format!("address: {host}, port_value: {port}");
    let here = |at: SocketAddr| place(&at.ip().to_string(), at.port());
    let health = |port, n| format!("health_check_config: {{ port_value: {port} }} # of key-service-{n}");
    let mut places = vec![
        (place("127.0.0.1", 9901), here(addresses.admin)),
        (place("0.0.0.0", 8080), here(addresses.public)),
        (place("0.0.0.0", 8081), here(addresses.edge)),
    ];
    for (n, (public, edge)) in (1..).zip(addresses.replicas) {
        let host = format!("key-service-{n}");
        places.push((place(&host, 8080), here(public)));
        places.push((place(&host, 8081), here(edge)));
        places.push((health(8081, n), health(edge.port(), n)));
    }
    for (text, replacement) in places {
        require_once(&rendered, "an address", &text).context("envoy/replicas.yaml")?;
        rendered = rendered.replace(&text, &replacement);
    }
    Ok(rendered)
}

fn read(folder: &str, name: &str) -> Result<String> {
    let path = paths::workspace().join(folder).join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The template with the first text of each pair, which occurs exactly once, replaced by the second.
///
/// # Errors
/// A text does not occur exactly once; the message names it.
pub fn edit(template: &str, changes: &[(&str, &str)]) -> Result<String> {
    let mut edited = template.to_owned();
    for (text, replacement) in changes {
        require_once(&edited, "a text to replace", text)?;
        edited = edited.replace(text, replacement);
    }
    Ok(edited)
}

/// The template with these values in the marked places, and with `patch`, a JSON merge patch (RFC 7396), applied to the
/// filter's settings.
///
/// # Errors
/// A marked place does not occur exactly once; the message names it.
pub fn render(shape: Shape, template: &str, setup: Setup<'_>, patch: &Value) -> Result<String> {
    let address = |address: SocketAddr| format!("address: {}, port_value: {}", address.ip(), address.port());
    let replacements = [
        address(setup.admin),
        address(setup.listener),
        // A path may contain blanks, commas and braces. A JSON string is a valid YAML string.
        format!("filename: {}", json!(setup.wasm)),
        address(setup.edge),
        address(setup.upstream),
    ];
    let mut rendered = template.to_owned();
    for ((what, text), replacement) in PLACES.into_iter().zip(replacements) {
        require_once(template, what, text)?;
        rendered = rendered.replace(text, &replacement);
    }
    if patch.as_object().is_none_or(|changes| !changes.is_empty()) {
        let Layout { settings: shipped, is_quoted, .. } = shape.layout();
        require_once(template, "the filter's settings", shipped)?;
        let mut settings = serde_json::from_str(shipped)?;
        merge(&mut settings, patch);
        let settings = match is_quoted {
            true => settings.to_string().replace('\'', "''"),
            false => settings.to_string(),
        };
        rendered = rendered.replace(shipped, &settings);
    }
    Ok(rendered)
}

fn require_once(template: &str, what: &str, text: &str) -> Result<()> {
    match template.matches(text).count() {
        1 => Ok(()),
        found => {
            bail!("the file must contain {what}, `{}`, once, and contains it {found} times", text.trim())
        }
    }
}

/// Applies a JSON merge patch (RFC 7396 section 2).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Value::Object(fields) = target {
        for (name, change) in changes {
            if change.is_null() {
                fields.remove(name);
            } else {
                merge(fields.entry(name).or_insert(Value::Null), change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup<'static> {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Setup {
            admin: at(1),
            listener: at(2),
            wasm: Path::new("/a b/{c}.wasm"),
            edge: at(3),
            upstream: at(4),
        }
    }

    #[test]
    fn only_the_marked_lines_of_the_shipped_file_change() {
        let template = template(Shape::Envoy).unwrap();
        let rendered = render(Shape::Envoy, &template, setup(), &json!({})).unwrap();
        let changed: Vec<&str> = template
            .lines()
            .zip(rendered.lines())
            .filter(|(before, after)| before != after)
            .map(|(_, after)| after.trim())
            .collect();
        assert_eq!(
            changed,
            [
                "socket_address: { address: 127.0.0.1, port_value: 1 }",
                "socket_address: { address: 127.0.0.1, port_value: 2 }",
                r#"local: { filename: "/a b/{c}.wasm" }"#,
                "socket_address: { address: 127.0.0.1, port_value: 3 }",
                "socket_address: { address: 127.0.0.1, port_value: 4 }",
            ]
        );
        assert_eq!(template.lines().count(), rendered.lines().count());
    }

    #[test]
    fn a_place_that_is_missing_or_repeated_is_named() {
        let template = template(Shape::Envoy).unwrap();
        for (what, text) in PLACES {
            for broken in [template.replace(text, "address: other"), format!("{template}# {text}\n")] {
                let error = render(Shape::Envoy, &broken, setup(), &json!({})).unwrap_err().to_string();
                assert!(error.contains(what) && error.contains(text), "{error}");
            }
        }
    }

    #[test]
    fn a_text_to_change_that_is_missing_or_repeated_is_named() {
        assert_eq!(edit("a: 1\nb: 1\n", &[("a: 1", "a: 2"), ("b: 1", "b: 3")]).unwrap(), "a: 2\nb: 3\n");
        for text in ["c: 1", ": 1"] {
            let error = edit("a: 1\nb: 1\n", &[(text, "")]).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_patch_changes_the_filters_settings_alone() {
        let patch = json!({ "key_service": { "timeout_ms": 300 }, "hide_credentials": true });
        let rendered = render(Shape::Envoy, &template(Shape::Envoy).unwrap(), setup(), &patch).unwrap();
        let mut values = rendered.lines().filter_map(|line| line.trim().strip_prefix("value: "));
        let settings = values.find(|value| value.contains("hide_credentials")).unwrap();
        let settings: Value = serde_json::from_str(settings).unwrap();
        assert_eq!(
            settings,
            json!({
                "key_service": { "cluster": "key_service", "timeout_ms": 300 }, "hide_credentials": true
            })
        );
        let removed =
            render(Shape::Envoy, &template(Shape::Envoy).unwrap(), setup(), &json!({ "key_service": null }))
                .unwrap();
        assert!(removed.contains(" {}\n") && !removed.contains(r#""key_service""#), "{removed}");
    }
}
