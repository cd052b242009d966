//! Starts child processes that do not outlive this process.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::Signal;

type Request = (Command, Sender<io::Result<Child>>);

/// Starts `command`. On Linux the child gets `death_signal` when this process ends, even by SIGKILL.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn spawn(mut command: Command, death_signal: Signal) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    set_death_signal(&mut command, death_signal);
    let (answer, child) = channel();
    spawner().send((command, answer)).context("the thread that starts processes has ended")?;
    let child = child.recv().context("the thread that starts processes has ended")?;
    child.with_context(|| format!("cannot start {program}"))
}

/// The thread that starts all children. Linux sends the death signal when the *thread* that started the child ends, and a
/// test's thread ends too early; this thread lasts as long as the process.
fn spawner() -> &'static Sender<Request> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (requests, queue) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in queue {
                // If the caller has gone, end the child: nothing else would.
                if let Err(unclaimed) = answer.send(command.spawn())
                    && let Ok(mut child) = unclaimed.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        requests
    })
}

#[cfg(target_os = "linux")]
fn set_death_signal(command: &mut Command, death_signal: Signal) {
    use std::os::unix::process::CommandExt;

    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    // SAFETY: between fork and exec only these two system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(death_signal))?;
            // The parent may have ended before the line above.
            if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn set_death_signal(_: &mut Command, _: Signal) {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};
    use std::{env, fs};

    use super::*;

    /// The file to write the child's process id to. Set in the copy of this test that is killed.
    const VICTIM: &str = "TEST_STACK_CHILD_ID_FILE";

    fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(10), "{what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_child_does_not_survive_a_parent_that_is_killed() {
        if let Some(file) = env::var_os(VICTIM) {
            let mut sleep = Command::new("sleep");
            sleep.arg("60");
            let mut child = spawn(sleep, Signal::KILL).unwrap();
            fs::write(file, format!("{}\n", child.id())).unwrap();
            child.wait().unwrap();
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("child");
        let mut parent = Command::new(env::current_exe().unwrap())
            .args(["--exact", "process::spawn::tests::a_child_does_not_survive_a_parent_that_is_killed"])
            .env(VICTIM, &file)
            .spawn()
            .unwrap();
        let mut id = String::new();
        wait_until("the child starts", || {
            id = fs::read_to_string(&file).unwrap_or_default();
            id.ends_with('\n')
        });
        let stat = Path::new("/proc").join(id.trim()).join("stat");
        assert!(fs::read_to_string(&stat).unwrap().contains("(sleep)"));
        parent.kill().unwrap();
        parent.wait().unwrap();
        // A zombie has ended too: the process that inherited it has not waited for it yet.
        wait_until("the child ends", || {
            fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")) || !stat.exists()
        });
    }
}
