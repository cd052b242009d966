//! Starting, pausing and stopping real processes.

use super::*;
use crate::echo::Echo;

/// A process whose probe is an echo upstream of the test, so that it is ready at once.
fn shell(script: &str, dir: &Path, echo: &Echo) -> Process {
    let ready = format!("http://{}/", echo.address());
    Process::new("shell", Path::new("/bin/sh"), ["-c", script], &[], dir.join("log"), ready)
}

fn echo() -> Echo {
    Echo::start("127.0.0.1:0".parse().unwrap()).unwrap()
}

#[test]
fn a_process_that_exits_before_it_is_ready_is_reported_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let ready = "http://127.0.0.1:9/".to_owned();
    let process =
        Process::new("shell", Path::new("/bin/sh"), ["-c", "echo no such cluster; exit 3"], &[], log, ready);
    let error = process.start().unwrap_err().to_string();
    assert!(error.contains("shell exited (exit status: 3)"), "{error}");
    assert!(error.ends_with("no such cluster"), "{error}");
}

#[test]
fn a_paused_process_can_be_stopped() {
    let (dir, echo) = (tempfile::tempdir().unwrap(), echo());
    let process = shell("trap 'echo stopping; exit 0' TERM; while :; do sleep 0.05; done", dir.path(), &echo);
    process.start().unwrap();
    thread::sleep(Duration::from_millis(200)); // until the trap is set
    process.pause().unwrap();
    process.stop().unwrap();
    assert_eq!(process.log().unwrap(), "stopping\n");
    assert!(process.pause().unwrap_err().to_string().contains("not running"));
}

#[test]
fn a_process_outlives_the_thread_that_started_it_and_can_start_again() {
    let (dir, echo) = (tempfile::tempdir().unwrap(), echo());
    let process = shell("exec sleep 60", dir.path(), &echo);
    thread::scope(|scope| scope.spawn(|| process.start().unwrap()).join().unwrap());
    thread::sleep(Duration::from_millis(200));
    assert_eq!(process.exited().unwrap(), None);
    process.kill().unwrap();
    process.start().unwrap();
    assert_eq!(process.exited().unwrap(), None);
}

#[test]
fn only_the_last_lines_of_a_long_log_are_shown() {
    let log: String = (0..100).map(|n| format!("line {n}\n")).collect();
    assert!(last_lines(&log).starts_with("line 80\n"));
    assert!(last_lines(&log).ends_with("line 99"));
    assert_eq!(last_lines("one"), "one");
}
