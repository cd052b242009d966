//! Finds Schemathesis, which tries an API against its OpenAPI document, or installs it from PyPI under
//! `target/tools/`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::pypi;
use crate::paths;

/// A Python that runs it with `-m schemathesis.cli`, installed now unless an earlier run did, in the versions of
/// `tests/openapi/requirements.txt`.
///
/// # Errors
/// It cannot be installed.
pub(crate) fn find() -> Result<PathBuf> {
    let requirements = paths::workspace().join("tests/openapi/requirements.txt");
    let home = paths::target().join("tools/schemathesis");
    // A copy of what was installed, so that a change of the versions is noticed.
    let installed = home.join("requirements.txt");
    let wanted =
        fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    if !fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        pypi::install(&home, &["--requirement", &requirements.to_string_lossy()])?;
        fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    }
    Ok(home.join("bin/python"))
}
