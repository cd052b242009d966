//! What a run ran on.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What the run used.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The model of the processor.
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    /// How many processes wanted a processor in the minute before the run.
    pub(crate) load_average: f64,
    /// The version of Envoy.
    pub(crate) envoy: String,
    /// The size of our module, in bytes, and its SHA-256.
    pub(crate) module_bytes: u64,
    pub(crate) module_sha256: String,
    /// The size of the empty filter's module, in bytes.
    pub(crate) empty_bytes: u64,
}

impl Machine {
    /// Reads it from the system.
    ///
    /// # Errors
    /// This is not Linux, a file is missing, or Envoy cannot be started.
    pub(crate) fn read(envoy: &Path, ours: &Path, empty: &Path, processors: usize) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let version = Command::new(envoy).arg("--version").output();
        let version = version.with_context(|| format!("cannot start {}", envoy.display()))?;
        let module = fs::read(ours).with_context(|| format!("cannot read {}", ours.display()))?;
        let empty = fs::metadata(empty).with_context(|| format!("cannot read {}", empty.display()))?;
        let load = read("/proc/loadavg")?;
        Ok(Machine {
            processor: model(&read("/proc/cpuinfo")?).unwrap_or("unknown").to_owned(),
            processors,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load_average: load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default(),
            envoy: release(&String::from_utf8_lossy(&version.stdout)).unwrap_or("unknown").to_owned(),
            module_bytes: module.len() as u64,
            module_sha256: Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect(),
            empty_bytes: empty.len(),
        })
    }
}

/// The first model in `/proc/cpuinfo`. Processors of ARM have none there.
fn model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1))
}

/// The release in what `envoy --version` prints: `…/envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn release(version: &str) -> Option<&str> {
    version.split_once("version: ")?.1.split('/').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_release_is_found_whatever_its_path_is() {
        let text = "\n/a/1.2.3/envoy  version: 0a1b/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(release(text), Some("1.40.0"));
        assert_eq!(release("envoy"), None);
    }

    #[test]
    fn the_first_model_counts() {
        let text = "processor\t: 0\nmodel name\t: A: B\nprocessor\t: 1\nmodel name\t: C\n";
        assert_eq!(model(text), Some("A: B"));
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
