//! Finds Schemathesis, which tries an API against its OpenAPI document, or installs it from PyPI under
//! `target/tools/`.

use std::path::PathBuf;

use anyhow::Result;

use crate::paths;
use crate::pypi;

/// A Python that runs it with `-m schemathesis.cli`, in the versions of `tests/openapi/requirements.txt`.
///
/// # Errors
/// It cannot be installed.
pub fn find() -> Result<PathBuf> {
    pypi::python_with(&paths::workspace().join("tests/openapi/requirements.txt"), "schemathesis")
}
