//! The user that runs a program which refuses to be run by root.

use std::os::unix::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::geteuid;

/// A user of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// The user of that name if this process is run by root, else `None`.
    ///
    /// # Errors
    /// There is no such user.
    pub(crate) fn instead_of_root(name: &str) -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        Ok(Some(User { uid: id("-u", name)?, gid: id("-g", name)? }))
    }

    /// Makes a command run as this user, with only the user's primary group.
    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Makes this user the owner of a file or folder.
    pub(crate) fn chown(self, path: &Path) -> Result<()> {
        fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot chown {}", path.display()))
    }
}

fn id(which: &str, name: &str) -> Result<u32> {
    let output = Command::new("id").args([which, name]).output().context("cannot run id")?;
    let id = String::from_utf8_lossy(&output.stdout);
    id.trim().parse().with_context(|| format!("there is no user {name} to run it"))
}
