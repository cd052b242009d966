//! How the checks create and delete keys.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::{ApiKey, KeyDigest};

/// Creates and deletes keys of the service under test.
pub(super) trait Keys: Sync {
    /// Creates a key.
    fn create(&self) -> Result<TestKey>;

    /// Creates a key that is restricted to some projects or organizations.
    fn create_restricted(&self) -> Result<TestKey>;

    /// Deletes a key. Returns how long that took.
    fn delete(&self, key: &TestKey) -> Result<Duration>;

    /// Deletes a key that is deleted, or about to be. The service may call that an error.
    fn delete_again(&self, key: &TestKey) -> Result<()>;
}

/// A key that the service created.
pub(super) struct TestKey(pub(super) ApiKey);

impl TestKey {
    pub(super) fn digest(&self) -> KeyDigest {
        self.0.digest()
    }
}

/// The user's shell commands.
pub(super) struct Commands {
    pub(super) create: String,
    pub(super) create_restricted: Option<String>,
    pub(super) delete: String,
}

impl Keys for Commands {
    fn create(&self) -> Result<TestKey> {
        created("--create", &self.create)
    }

    fn create_restricted(&self) -> Result<TestKey> {
        let command = self.create_restricted.as_deref().context("--create-restricted is missing")?;
        created("--create-restricted", command)
    }

    fn delete(&self, key: &TestKey) -> Result<Duration> {
        let began = Instant::now();
        let status = self.delete_command(key).status().context("--delete")?;
        if !status.success() {
            bail!("--delete failed: {status}");
        }
        Ok(began.elapsed())
    }

    fn delete_again(&self, key: &TestKey) -> Result<()> {
        self.delete_command(key).stderr(Stdio::null()).status().context("--delete")?;
        Ok(())
    }
}

impl Commands {
    fn delete_command(&self, key: &TestKey) -> Command {
        let mut delete = shell(&self.delete);
        delete.env("KEY", key.0.reveal()).stdout(Stdio::null());
        delete
    }
}

/// Runs the command of an option that creates a key.
fn created(option: &'static str, command: &str) -> Result<TestKey> {
    let output = shell(command).stderr(Stdio::inherit()).output().context(option)?;
    if !output.status.success() {
        bail!("{option} failed: {}", output.status);
    }
    let text = String::from_utf8(output.stdout).ok();
    let text = text.with_context(|| format!("{option} printed bytes that are not UTF-8"))?;
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let value = ApiKey::parse(last.trim().as_bytes());
    // The error must not show the value.
    let value = value.ok();
    Ok(TestKey(
        value.with_context(|| format!("the last line of {option} is not a key, which begins with phx_"))?,
    ))
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null());
    shell
}
