//! Where the workspace is, and what the build leaves where.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Names, in the environment of the tests, the Envoy that they run.
pub const ENVOY_VARIABLE: &str = "ENVOY";

/// Names, in the environment of the tests, the browser that they drive.
pub const CHROMIUM_VARIABLE: &str = "CHROMIUM";

/// Names, in the environment of the tests, the chromedriver that drives it.
pub const CHROMEDRIVER_VARIABLE: &str = "CHROMEDRIVER";

/// Names, in the environment of the tests, axe-core's script.
pub const AXE_VARIABLE: &str = "AXE_CORE";

/// Names, in the environment of the tests, a Python that has Schemathesis.
pub const SCHEMATHESIS_VARIABLE: &str = "SCHEMATHESIS_PYTHON";

/// Names, in the environment of the tests, a Python that has the servers of `tests/differential/`.
pub const UPSTREAMS_PYTHON_VARIABLE: &str = "UPSTREAMS_PYTHON";

/// Names, in the environment of the tests, the modules of Node that the servers of `tests/differential/` need.
pub const UPSTREAMS_NODE_VARIABLE: &str = "UPSTREAMS_NODE_MODULES";

/// Names the folder of PostgreSQL's programs, for whom the one that is found will not do.
pub const POSTGRESQL_VARIABLE: &str = "POSTGRESQL_BIN";

/// Names, in the environment of the tests, a PostgreSQL server that databases can be made on: the URL of its maintenance
/// database, with a role that may make others. Where it is not set, tests run on SQLite.
pub const POSTGRES_URL_VARIABLE: &str = "POSTGRES_URL";

/// Names, in the environment of the tests, the Wasm module that they load.
pub const WASM_VARIABLE: &str = "EDGE_KEY_AUTH_WASM";

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

/// What one of these variables names.
///
/// # Errors
/// It is not set: the tests were not started by `cargo xtask test`, or it found no such tool.
pub fn tool(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable);
    path.map(PathBuf::from).with_context(|| format!("{variable} is not set; run `cargo xtask test`"))
}

/// The Wasm module that Envoy loads: what [`WASM_VARIABLE`] names, or what `cargo xtask build` writes.
pub fn wasm() -> PathBuf {
    env::var_os(WASM_VARIABLE).map_or_else(built_wasm, PathBuf::from)
}

/// What `cargo xtask build` writes.
pub fn built_wasm() -> PathBuf {
    target().join("edge_key_auth.wasm")
}

/// The module of `cargo xtask test` that panics when a request asks for it.
pub fn panicking_wasm() -> PathBuf {
    target().join("edge_key_auth_panicking.wasm")
}

/// The module of `cargo xtask test` that lacks the last step of the build.
pub fn unfinished_wasm() -> PathBuf {
    target().join("edge_key_auth_unfinished.wasm")
}

/// The key service as `cargo xtask build` builds it.
pub fn key_service() -> PathBuf {
    target().join("release/key-service")
}

/// The same path, of a file that is there.
///
/// # Errors
/// It is missing.
pub fn require_built(path: PathBuf) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is missing; run `cargo xtask build`", path.display());
    }
    Ok(path)
}

/// Where the browser tests leave their pictures.
pub fn screenshots() -> PathBuf {
    target().join("screenshots")
}

/// What the differential tests run behind Envoy, and the versions of what that needs.
pub fn upstreams() -> PathBuf {
    workspace().join("tests/differential/upstreams")
}

/// The first file of this name in the folders of `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}
