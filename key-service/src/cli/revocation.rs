//! Tells how a change came into force.

use std::time::Duration;

use super::CliError;
use super::terminal::{print_json, tell};
use crate::leases::Revocation;
use crate::settling::Settling;

/// Says on standard error what was done and since when it counts everywhere; as JSON on standard output too, if asked.
pub(super) fn report(done: &str, revocation: &Revocation, json: bool) -> Result<(), CliError> {
    tell(&format!("{done}; {}", in_words(revocation)))?;
    if json { print_json(revocation) } else { Ok(()) }
}

/// Waits until a change is in force everywhere, or until Ctrl-C.
pub(super) async fn settled(settling: Settling) -> Result<Revocation, CliError> {
    tokio::select! {
        settled = settling.settled() => Ok(settled?),
        Ok(()) = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

pub(super) fn in_words(revocation: &Revocation) -> String {
    let time = time(revocation.elapsed_ms);
    let told = match (revocation.edges, revocation.expired) {
        (0, _) if revocation.forgotten => format!("in force after {time}"),
        (0, _) => format!("in force after {time}: no edge holds a lease"),
        (edges, 0) => format!("in force at {} after {time}", all(edges)),
        (_, 1) => format!("1 edge could not be reached; its lease ran out after {time}"),
        (_, expired) => format!("{expired} edges could not be reached; their leases ran out after {time}"),
    };
    let why = if revocation.forgotten { ": leases from before a restart had to run out" } else { "" };
    format!("{told}{why}")
}

fn all(edges: usize) -> String {
    if edges == 1 { "the 1 edge".to_owned() } else { format!("all {edges} edges") }
}

fn time(ms: u64) -> String {
    let time = Duration::from_millis(ms);
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", time.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_told_in_words() {
        let words = |edges, expired, elapsed_ms| {
            let acknowledged = edges - expired;
            let forgotten = elapsed_ms == 6_900;
            in_words(&Revocation { revision: 7, edges, acknowledged, expired, elapsed_ms, forgotten })
        };
        assert_eq!(words(4, 0, 12), "in force at all 4 edges after 12 ms");
        assert_eq!(words(1, 0, 1_250), "in force at the 1 edge after 1.2 s");
        assert_eq!(words(4, 2, 7_000), "2 edges could not be reached; their leases ran out after 7.0 s");
        assert_eq!(words(1, 1, 7_000), "1 edge could not be reached; its lease ran out after 7.0 s");
        let restarted = ["in force", "in force at all 2 edges"]
            .map(|force| format!("{force} after 6.9 s: leases from before a restart had to run out"));
        assert_eq!([words(0, 0, 6_900), words(2, 0, 6_900)], restarted);
        assert_eq!(words(0, 0, 0), "in force after 0 ms: no edge holds a lease");
    }
}
