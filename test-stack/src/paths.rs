//! Paths of the workspace and of what the build writes, and the environment variables that name tools to the tests.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The Envoy that the tests run.
pub const ENVOY_VARIABLE: &str = "ENVOY";

/// The browser that the tests drive.
pub const CHROMIUM_VARIABLE: &str = "CHROMIUM";

/// The chromedriver of that browser.
pub const CHROMEDRIVER_VARIABLE: &str = "CHROMEDRIVER";

/// The script of axe-core.
pub const AXE_VARIABLE: &str = "AXE_CORE";

/// A Python in which Schemathesis, openapi-spec-validator and openapi-python-client are installed.
pub const SCHEMATHESIS_VARIABLE: &str = "SCHEMATHESIS_PYTHON";

/// A Python in which the servers of `tests/differential/` are installed.
pub const UPSTREAMS_PYTHON_VARIABLE: &str = "UPSTREAMS_PYTHON";

/// The `node_modules` folder of the servers of `tests/differential/`.
pub const UPSTREAMS_NODE_VARIABLE: &str = "UPSTREAMS_NODE_MODULES";

/// A Python in which the client of `tests/clients/` is installed.
pub const CLIENTS_PYTHON_VARIABLE: &str = "CLIENTS_PYTHON";

/// The `node_modules` folder of the client of `tests/clients/`.
pub const CLIENTS_NODE_VARIABLE: &str = "CLIENTS_NODE_MODULES";

/// The `node_modules` folder of the OpenID provider of `tests/browser/openid/`.
pub const OPENID_NODE_VARIABLE: &str = "OPENID_NODE_MODULES";

/// The folder of PostgreSQL's programs. Set it to use another version than [`crate::postgres::programs::find`] finds.
pub const POSTGRESQL_VARIABLE: &str = "POSTGRESQL_BIN";

/// The URL of a PostgreSQL server's maintenance database, with a role that may create databases. If it is not set, tests
/// run on SQLite.
pub const POSTGRES_URL_VARIABLE: &str = "POSTGRES_URL";

/// Whose configuration the Envoys of a stack have: `istio`, `envoy-gateway`, or that of `envoy/` if it is not set.
pub const SHAPE_VARIABLE: &str = "ENVOY_SHAPE";

/// The Wasm module that the tests load.
pub const WASM_VARIABLE: &str = "EDGE_KEY_AUTH_WASM";

/// The key service that the tests start.
pub const KEY_SERVICE_VARIABLE: &str = "KEY_SERVICE";

/// The folder that holds the workspace's `Cargo.toml`.
pub fn workspace() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub fn target() -> PathBuf {
    workspace().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The path that one of these variables names.
///
/// # Errors
/// The variable is not set: the tests were not started by `cargo xtask test`, or it did not find the tool.
pub fn tool(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable);
    path.map(PathBuf::from).with_context(|| format!("{variable} is not set; run `cargo xtask test`"))
}

/// The Wasm module that Envoy loads: the one that [`WASM_VARIABLE`] names, else [`built_wasm`].
pub fn wasm() -> PathBuf {
    env::var_os(WASM_VARIABLE).map_or_else(built_wasm, PathBuf::from)
}

/// The Wasm module that `cargo xtask build` writes.
pub fn built_wasm() -> PathBuf {
    target().join("edge_key_auth.wasm")
}

/// The module that traps at a request with many headers; `cargo xtask test` builds it.
pub fn trapping_wasm() -> PathBuf {
    target().join("edge_key_auth_trapping.wasm")
}

/// The module that counts its allocations; `cargo xtask test` builds it.
pub fn counting_wasm() -> PathBuf {
    target().join("edge_key_auth_counting.wasm")
}

/// The module without the last step of the build; `cargo xtask test` builds it.
pub fn unfinished_wasm() -> PathBuf {
    target().join("edge_key_auth_unfinished.wasm")
}

/// The key service that tests and the demo start: the one that [`KEY_SERVICE_VARIABLE`] names, else
/// [`built_key_service`].
pub fn key_service() -> PathBuf {
    env::var_os(KEY_SERVICE_VARIABLE).map_or_else(built_key_service, PathBuf::from)
}

/// The key service that `cargo xtask build` builds.
pub fn built_key_service() -> PathBuf {
    target().join("release/key-service")
}

/// Returns `path` if it is a file.
///
/// # Errors
/// There is no such file; the message says how to build it.
pub(crate) fn require_built(path: PathBuf) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is missing; run `cargo xtask build`", path.display());
    }
    Ok(path)
}

/// The folder of the browser tests' screenshots.
pub fn screenshots() -> PathBuf {
    target().join("screenshots")
}

/// The servers that the differential tests run behind Envoy, and their pinned dependencies.
pub fn upstreams() -> PathBuf {
    workspace().join("tests/differential/upstreams")
}

/// The programs that run PostHog's clients, and the pinned versions of these.
pub fn clients() -> PathBuf {
    workspace().join("tests/clients")
}

/// The program that is an OpenID provider, and its pinned dependencies.
pub fn openid() -> PathBuf {
    workspace().join("tests/browser/openid")
}

/// The first file named `program` in the folders of `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}
