//! Installs Schemathesis, which tests an API against its OpenAPI document, from PyPI under `target/tools/`.

use std::path::PathBuf;

use anyhow::Result;

use crate::paths;
use crate::pypi;

/// A Python that runs it with `-m schemathesis.cli`; `tests/openapi/requirements.txt` pins the versions.
///
/// # Errors
/// It cannot be installed.
pub fn find() -> Result<PathBuf> {
    pypi::python_with(&paths::workspace().join("tests/openapi/requirements.txt"), "schemathesis")
}
