//! Child processes: steps that run until they exit, and servers that are started, paused and stopped.

pub mod interrupt;
mod probe;
mod spawn;
mod step;
mod user;

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

pub use self::probe::Probe;
pub(crate) use self::spawn::spawn;
pub use self::step::run_step;
pub(crate) use self::user::User;

/// How long a server may take to become ready.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a server may take to exit after the stop signal; then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How often a server's state is polled.
const POLL: Duration = Duration::from_millis(20);

/// How many lines of a log an error message shows.
const TAIL_LINES: usize = 20;

/// A server: its program, its log and its readiness probe. It stops when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    log: PathBuf,
    probe: Probe,
    stop_signal: Signal,
    user: Option<User>,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// A server that is not started yet. Its standard output and error are appended to `log`.
    pub fn new(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        env: &[(String, String)],
        log: PathBuf,
        probe: impl Into<Probe>,
    ) -> Self {
        Process {
            name: name.to_owned(),
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            env: env.to_vec(),
            log,
            probe: probe.into(),
            stop_signal: Signal::TERM,
            user: None,
            child: Mutex::new(None),
        }
    }

    /// Sets the signal that stops it; SIGTERM by default.
    pub(crate) fn stopped_by(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Sets the user that runs it.
    pub(crate) fn run_as(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of its running process; `None` if it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Starts it and waits until it is ready, also after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Errors
    /// It cannot be started, exits, or is not ready within 30 s; the message shows the end of its log.
    pub fn start(&self) -> Result<()> {
        self.spawn()?;
        let began = Instant::now();
        while !self.probe.is_ready() {
            if interrupt::requested() {
                bail!("interrupted");
            }
            if let Some(status) = self.exited()? {
                bail!("{}", self.exit_report(status));
            }
            if began.elapsed() > START_LIMIT {
                bail!(
                    "{} is not ready after {} s (probe: {}). {}",
                    self.name,
                    START_LIMIT.as_secs(),
                    self.probe,
                    self.log_tail()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Starts it without waiting until it is ready.
    ///
    /// # Errors
    /// It runs already, or cannot be started.
    pub fn spawn(&self) -> Result<()> {
        let mut slot = self.child();
        if let Some(child) = slot.as_mut()
            && child.try_wait()?.is_none()
        {
            bail!("{} is running already", self.name);
        }
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A process group of its own: Ctrl-C on the terminal reaches only this process, which stops the servers in order.
        command.process_group(0);
        if let Some(user) = &self.user {
            user.apply(&mut command);
        }
        *slot = Some(spawn(command, Signal::KILL)?);
        Ok(())
    }

    /// Sends the stop signal, and SIGKILL if the server has not exited 10 s later. Does nothing if it is not running.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stop(&self) -> Result<()> {
        self.stop_with(self.stop_signal)
    }

    /// As [`stop`](Self::stop), with another signal.
    pub(crate) fn stop_with(&self, signal: Signal) -> Result<()> {
        let mut slot = self.child();
        let Some(mut child) = slot.take() else { return Ok(()) };
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(pid(&child), signal)?;
        // A paused process handles the signal only after SIGCONT.
        kill_process(pid(&child), Signal::CONT)?;
        let began = Instant::now();
        while child.try_wait()?.is_none() {
            if began.elapsed() > STOP_LIMIT {
                child.kill()?;
                child.wait()?;
                break;
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// It is not running.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        if let Some(mut child) = self.child().take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Pauses it (SIGSTOP) until [`resume`](Self::resume). Returns when each of its threads has stopped: until then, the others
    /// still answer.
    ///
    /// # Errors
    /// It is not running, or does not stop.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let began = Instant::now();
        while began.elapsed() < STOP_LIMIT {
            let slot = self.child();
            let Some(child) = slot.as_ref() else { break };
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
            if waitid(WaitId::Pid(pid(child)), options)?.is_some() {
                return Ok(());
            }
            drop(slot);
            thread::sleep(Duration::from_millis(1));
        }
        bail!("{} does not stop", self.name)
    }

    /// Resumes it after [`pause`](Self::pause) (SIGCONT).
    ///
    /// # Errors
    /// It is not running.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// The exit status, if it was started and has exited without being stopped.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        match self.child().as_mut() {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// Its log since the first start.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes =
            fs::read(&self.log).with_context(|| format!("cannot read the log {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A message with the exit status and the end of the log.
    pub(crate) fn exit_report(&self, status: ExitStatus) -> String {
        format!("{} exited ({status}). {}", self.name, self.log_tail())
    }

    fn log_tail(&self) -> String {
        match self.log() {
            Ok(log) => format!("The end of its log, {}:\n{}", self.log.display(), last_lines(&log)),
            Err(error) => format!("{error:#}"),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let mut slot = self.child();
        if let Some(child) = slot.as_mut()
            && child.try_wait()?.is_none()
        {
            return Ok(kill_process(pid(child), signal)?);
        }
        bail!("{} is not running", self.name)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{} could not be stopped: {error:#}", self.name);
        }
    }
}

/// The last lines of a log or of a program's output.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[cfg(test)]
mod tests;
