//! Starts child processes that do not outlive this one, however it ends.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::Signal;

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command`. If this process ends without having ended the child, even by SIGKILL, the child is sent
/// `farewell` (on Linux; other systems have no such thing).
///
/// # Errors
/// The program cannot be started.
pub(crate) fn spawn(mut command: Command, farewell: Signal) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    tie_to_this_process(&mut command, farewell);
    let (answer, child) = channel();
    spawner().send((command, answer)).context("the thread that starts processes has ended")?;
    let child = child.recv().context("the thread that starts processes has ended")?;
    child.with_context(|| format!("cannot start {program}"))
}

/// Linux sends the farewell when the *thread* that started the child ends, which for a test's own thread is too
/// early. So one thread that lasts as long as the process starts them all.
fn spawner() -> &'static Sender<Order> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, queue) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in queue {
                // Whoever asked and went away meanwhile must not leave a child behind.
                if let Err(unclaimed) = answer.send(command.spawn())
                    && let Ok(mut child) = unclaimed.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        orders
    })
}

#[cfg(target_os = "linux")]
fn tie_to_this_process(command: &mut Command, farewell: Signal) {
    use std::os::unix::process::CommandExt;

    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    // SAFETY: between fork and exec only these two system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(farewell))?;
            // The parent may have died before the line above.
            if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn tie_to_this_process(_: &mut Command, _: Signal) {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};
    use std::{env, fs};

    use super::*;

    /// Names the file for the child's process id, in the copy of this test that is to be killed.
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
        // Gone, or dead and not collected yet by whoever inherits it.
        wait_until("the child ends", || {
            fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")) || !stat.exists()
        });
    }
}
