//! Installs Schemathesis, which tests an API against its OpenAPI document, from PyPI under `target/tools/`; with it a validator of
//! documents and a generator of clients.

use std::path::PathBuf;

use anyhow::Result;

use crate::paths;
use crate::pypi;

/// A Python that runs them with `-m schemathesis.cli`, `-m openapi_spec_validator` and `-m openapi_python_client`.
/// `tests/openapi/requirements.txt` pins the versions.
///
/// # Errors
/// It cannot be installed.
pub fn find() -> Result<PathBuf> {
    pypi::python_with(&paths::workspace().join("tests/openapi/requirements.txt"), "schemathesis")
}
