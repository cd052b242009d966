//! The load of the slices: `wrk`, which takes less CPU than [`crate::load`] and so keeps Envoy busier.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use test_stack::paths;

use crate::load::{HEADERS, STRIDE};
use crate::variants::Variant;

/// An installed `wrk`.
#[derive(Clone, Debug)]
pub(crate) struct Wrk {
    program: PathBuf,
    /// Its name and version.
    pub(crate) version: String,
}

/// What `wrk` counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// The time that this took.
    pub(crate) elapsed: Duration,
    /// The responses with a status of 400 or more.
    refused: u64,
    /// Failed connections, reads and writes, and responses that took too long.
    failed: u64,
}

impl Wrk {
    /// The one on the `PATH`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn find() -> Result<Option<Self>> {
        let Some(program) = paths::on_path("wrk") else { return Ok(None) };
        // It prints its usage after the version, and exits with 1.
        let output = Command::new(&program).arg("--version").output();
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let version = text.lines().next().and_then(|line| line.split(" [").next()).unwrap_or("wrk");
        Ok(Some(Wrk { program, version: version.to_owned() }))
    }

    /// Sends a variant's requests for this time, from the one with this number on. `script` is from [`write_script`].
    ///
    /// # Errors
    /// It fails, or a response has an unexpected status.
    pub(crate) fn run(
        &self,
        variant: &Variant,
        address: SocketAddr,
        script: &Path,
        connections: u16,
        slice: Duration,
        from: usize,
    ) -> Result<Counts> {
        let mut command = Command::new(&self.program);
        command.arg("--threads=1").arg(format!("--connections={connections}"));
        command.arg(format!("--duration={}s", slice.as_secs())).arg("--script").arg(script);
        command.arg(format!("http://{address}{}", variant.path)).arg("--").arg(from.to_string());
        let output = command.output().with_context(|| format!("cannot start {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("wrk failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        let counts = parse(&text)?;
        counts.require(variant.status)?;
        Ok(counts)
    }
}

impl Counts {
    /// Checks that every response arrived, and is on the same side of 400 as this status.
    fn require(self, status: u16) -> Result<()> {
        let expected = if status >= 400 { self.requests } else { 0 };
        if self.failed > 0 || self.refused != expected || self.requests == 0 {
            let Counts { requests, refused, failed, .. } = self;
            bail!(
                "of {requests} responses, which should have status {status}, {refused} had a status of 400 or more, \
                 and {failed} exchanges failed"
            );
        }
        Ok(())
    }
}

/// Writes the script of a variant's requests, and beside it the list of the keys.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write_script(variant: &Variant, path: &Path) -> Result<()> {
    let list = path.with_extension("keys");
    let keys: String = variant.credentials.keys().iter().map(|key| format!("{key}\n")).collect();
    fs::write(&list, keys).with_context(|| format!("cannot write {}", list.display()))?;
    fs::write(path, script(variant, &list)).with_context(|| format!("cannot write {}", path.display()))
}

fn script(variant: &Variant, list: &Path) -> String {
    let mut text = String::new();
    for (name, value) in HEADERS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "wrk.headers[{name:?}] = {value:?}");
    }
    let (path, list) = (variant.path, list.to_string_lossy());
    let _ = write!(
        text,
        r#"
local requests, number = {{}}, 0
function init(args)
  number = tonumber(args[1])
  for key in io.lines({list:?}) do
    wrk.headers["Authorization"] = "Bearer " .. key
    requests[#requests + 1] = wrk.format("GET", {path:?})
  end
  if #requests == 0 then
    requests[1] = wrk.format("GET", {path:?})
  end
end
function request()
  local place = number * {STRIDE} % #requests
  number = number + 1
  return requests[place + 1]
end
function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("counts %d %d %d %d\n", summary.requests, summary.duration, errors.status, failed))
end
"#
    );
    text
}

/// The line that the script prints.
fn parse(output: &str) -> Result<Counts> {
    let line = output.lines().find_map(|line| line.strip_prefix("counts "));
    let line = line.with_context(|| format!("wrk printed no counts: {output:?}"))?;
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, elapsed_us, refused, failed] = numbers[..] else {
        bail!("wrk printed other counts: {line:?}")
    };
    Ok(Counts { requests, elapsed: Duration::from_micros(elapsed_us), refused, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_found_among_what_wrk_prints() {
        let output = "Running 1s test\n  Requests/sec:  9.0\ncounts 38412 1001000 0 2\n";
        let elapsed = Duration::from_millis(1_001);
        assert_eq!(parse(output).unwrap(), Counts { requests: 38_412, elapsed, refused: 0, failed: 2 });
        assert!(parse("counts 1 2 3\n").is_err());
        assert!(parse("Running 1s test\n").unwrap_err().to_string().contains("no counts"));
    }

    #[test]
    fn responses_that_fail_or_have_another_status_are_errors() {
        let counts =
            |requests, refused, failed| Counts { requests, elapsed: Duration::ZERO, refused, failed };
        counts(9, 0, 0).require(200).unwrap();
        counts(9, 9, 0).require(401).unwrap();
        for (counts, status) in
            [(counts(9, 1, 0), 200), (counts(9, 8, 0), 401), (counts(9, 0, 1), 200), (counts(0, 0, 0), 200)]
        {
            assert!(counts.require(status).is_err(), "{counts:?}");
        }
    }
}
