//! A service in a process of its own.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{ANY_PORTS, PREVIOUS_TOKEN, Site, TOKEN, TestApp};

/// A service in a process of its own, for tests of what only a process has: signals, a log, a restart, and metrics, which
/// count for the whole process. Dropped, it is killed.
pub(crate) struct Process {
    app: TestApp,
    pub(crate) log: PathBuf,
    child: Child,
}

impl Deref for Process {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// A service with the users of [`Site::with_sessions`].
    pub(crate) async fn start() -> Self {
        Self::start_with(|command| command).await
    }

    /// The same, with the settings that `set` gives the command.
    pub(crate) async fn start_with(set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        // Making the database blocks, on a runtime of its own.
        let site = tokio::task::spawn_blocking(Site::with_sessions).await.unwrap();
        Self::on_with(site, set)
    }

    /// A service on the database of a site.
    pub(crate) fn on(site: Site) -> Self {
        Self::on_with(site, |command| command)
    }

    pub(crate) fn on_with(site: Site, set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let command = serve(&site);
        Self::spawn(site, command, set)
    }

    /// A service started by a line of shell that finds the program and its arguments in `"$0" "$@"`.
    pub(crate) fn through(site: Site, line: &str) -> Self {
        let program = serve(&site);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).arg(program.get_program()).args(program.get_args());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(site.dir.path());
        Self::spawn(site, command, |command| command)
    }

    fn spawn(site: Site, mut command: Command, set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let log = site.dir.path().join("log");
        let printed = fs::File::create(site.dir.path().join("printed")).unwrap();
        set(&mut command).stdin(Stdio::null()).stdout(printed).stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();

        let deadline = Instant::now() + Duration::from_secs(20);
        let line = loop {
            let text = fs::read_to_string(&log).unwrap();
            let line = text.lines().find(|line| line.contains(r#""listening""#));
            if let Some(line) = line {
                break serde_json::from_str::<Value>(line).unwrap();
            }
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "{text}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let address = |name: &str| format!("http://{}", line[name].as_str().unwrap());
        let app = TestApp::reached_at(site, address("public"), address("edge"));
        Process { app, log, child }
    }

    /// Kills the process and starts another on what it left behind.
    pub(crate) fn restart(mut self, set: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        self.signal("-KILL");
        self.wait();
        Self::on_with(self.site.clone(), set)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end, and returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.wait()
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The path of the one-time link that the start printed.
    pub(crate) fn first_link(&self) -> String {
        let printed = fs::read_to_string(self.site.dir.path().join("printed")).unwrap();
        let (_, secret) = printed.trim().split_once("/link/").unwrap();
        format!("/link/{secret}")
    }
}

/// The command that serves a site.
fn serve(site: &Site) -> Command {
    let mut command = site.command(&[&["serve"], &ANY_PORTS[..]].concat());
    command.env("EDGE_TOKEN", TOKEN).env("EDGE_TOKEN_PREVIOUS", PREVIOUS_TOKEN);
    command
}
