//! The limit of open files, which each connection counts against.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// An upper bound on the process's other open files.
const OTHERS: u64 = 64;

/// Raises the limit on open files for this number of connections.
///
/// # Errors
/// The hard limit is lower than the number of connections and other open files.
pub(crate) fn allow(connections: u64) -> Result<(), String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = connections + OTHERS;
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = maximum.filter(|maximum| *maximum < needed) {
        return Err(format!(
            "--edges: {connections} connections need {needed} open files, and this process may have {maximum}. Raise \
             the hard limit (as root: `ulimit -Hn {needed}`; systemd: LimitNOFILE=; Docker: --ulimit nofile=), or \
             start several smaller fleets"
        ));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|error| format!("--edges: the limit of open files cannot be raised to {needed}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_the_hard_limit_are_refused_with_a_hint() {
        let Some(maximum) = getrlimit(Resource::Nofile).maximum else { return };
        let error = allow(maximum).unwrap_err();
        assert!(error.starts_with("--edges: ") && error.contains(&format!("may have {maximum}.")), "{error}");
        allow(1).unwrap();
    }
}
